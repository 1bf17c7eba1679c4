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

it('docs/operating.md says of every error code what to do', () => {
  const codes = [...textOf('functions/core/errors.ts').matchAll(/^  \| '([A-Z_]+)'/gm)].map(
    ([, code]) => code,
  );
  const [, table = ''] = /<!-- codes[^>]*-->([^]*?)<!-- end -->/.exec(textOf('docs/operating.md')) ?? [];
  const told = [...table.matchAll(/^\| `([A-Z_]+)` \| \S/gm)].map(([, code]) => code);

  expect(codes.length).toBeGreaterThan(30);
  expect(told).toEqual(codes);
});

it('docs/doctor.md names every check', () => {
  const folder = join(ROOT, 'cli', 'doctor');
  const sources = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const named = sources.flatMap((source) =>
    [
      ...source.matchAll(/(?:ok|note|failed|attempt|bad)\(\s*(?:[^'(),]*'(?:warn|error)',\s*)?'([a-z -]+)'/g),
    ].map(([, name]) => name ?? ''),
  );
  const [, table = ''] = /(\| check \|[^]*?)\n\n/.exec(textOf('docs/doctor.md')) ?? [];

  // Where the name is a variable, the status is all that stands there.
  const told = new Set([...table.matchAll(/`([a-z -]+)`/g)].map(([, name]) => name)).add('warn').add('error');
  expect([...new Set(named)].filter((name) => !told.has(name))).toEqual([]);
  expect(new Set(named).size).toBeGreaterThan(15);
});
