/** The documents hold what they say: links lead somewhere, examples are accepted, commands exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readEnvironment, readPlans } from '../functions/core/config.ts';

const ROOT = join(__dirname, '..');
const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const textOf = (document: string): string => readFileSync(join(ROOT, document), 'utf8');

describe.each(DOCUMENTS)('%s', (document) => {
  it('links to files that are there', () => {
    const targets = [...textOf(document).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(
      ([, target]) => target ?? '',
    );
    const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(document), target)));
    expect(missing).toEqual([]);
  });

  it('names scripts that package.json has', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = [...textOf(document).matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name ?? '');
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

it('the example in docs/plans.md is a plan', () => {
  const example = /```yaml\n([^]*?)```/.exec(textOf('docs/plans.md'))?.[1] ?? '';
  const plans = readPlans(example, 'docs/plans.md', readEnvironment({}), {});
  expect(plans.get('nightly')?.targets).toHaveLength(3);
});

it('the example in docs/self-managed.md is a plan', () => {
  const example = /```yaml\n([^]*?)```/.exec(textOf('docs/self-managed.md'))?.[1] ?? '';
  const variables = {
    TAIRLIFT_BUCKET: 'my-backups',
    TAIRLIFT_OSS_REGION: 'cn-hangzhou',
    ORDERS_REDIS_PASSWORD: 'set',
    REDIS_CA: '-----BEGIN CERTIFICATE-----',
  };
  const plans = readPlans(example, 'docs/self-managed.md', readEnvironment(variables), variables);
  expect(plans.get('nightly')?.targets).toHaveLength(3);
});

it('the plans that are packaged with the functions are accepted', () => {
  const variables = { TAIRLIFT_BUCKET: 'my-backups', TAIRLIFT_OSS_REGION: 'cn-hangzhou' };
  expect(
    readPlans(textOf('plans.yaml'), 'plans.yaml', readEnvironment(variables), variables).size,
  ).toBeGreaterThan(0);
});
