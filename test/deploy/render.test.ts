import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { render } from '../../infra/check/render.ts';
import type { Rendered } from '../../infra/check/rendered.ts';
import { ROOT, SAMPLE_VARIABLES as VARIABLES } from './sample-deployment.ts';

/** All text values of what was rendered. */
function texts(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
}

describe('s.yaml', () => {
  it('is the stage that is asked for, in every name', async () => {
    for (const [options, stage] of [
      [{}, 'dev'],
      [{ environment: 'dev' }, 'dev'],
      [{ environment: 'prod' }, 'prod'],
    ] as const) {
      const { resources } = (await render({ root: ROOT, variables: VARIABLES, ...options })) as {
        resources: unknown;
      };
      const names = texts(resources).flatMap((text) => /tairlift-(dev|prod)\b/.exec(text)?.[1] ?? []);
      expect(names.length).toBeGreaterThan(8);
      expect([...new Set(names)]).toEqual([stage]);
    }
  });

  it('takes the stage of --env, whatever TAIRLIFT_STAGE says', async () => {
    const variables = { ...VARIABLES, TAIRLIFT_STAGE: 'team-x' };

    expect(JSON.stringify(await render({ root: ROOT, variables }))).toContain('tairlift-team-x-uploader');
    const { resources } = (await render({ root: ROOT, variables, environment: 'prod' })) as {
      resources: unknown;
    };
    expect(JSON.stringify(resources)).not.toContain('team-x');
  });

  it('keeps timers off in dev, and on in any other stage', async () => {
    const enabledIn = async (options: object, variables = {}): Promise<unknown> => {
      const rendered = await render({ root: ROOT, variables: { ...VARIABLES, ...variables }, ...options });
      const { resources } = rendered as Rendered;
      return resources.orchestrator.props.triggers?.map(({ triggerConfig }) => triggerConfig.enable);
    };

    expect(await enabledIn({ environment: 'dev' }, { TAIRLIFT_STAGE: 'prod' })).toEqual([false]);
    expect(await enabledIn({ environment: 'prod' })).toEqual([true]);
    expect(await enabledIn({}, { TAIRLIFT_STAGE: 'team-a' })).toEqual([true]);
  });

  it('is rendered without a network', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tairlift-offline-'));
    try {
      const [block, calls] = [join(folder, 'block.cjs'), join(folder, 'calls')];
      writeFileSync(
        block,
        `const net = require('node:net');
         const { appendFileSync } = require('node:fs');
         net.Socket.prototype.connect = function (...args) {
           appendFileSync(${JSON.stringify(calls)}, JSON.stringify(args) + '\\n');
           throw new Error('no network here');
         };`,
      );

      const variables = { ...VARIABLES, NODE_OPTIONS: `--require ${block}` };
      expect(JSON.stringify(await render({ root: ROOT, variables }))).toContain('sample-backups');
      expect(existsSync(calls)).toBe(false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('names every variable in one place, with what it is for', () => {
    const [, vars = ''] = /^vars:\n([^]*?)^\S/m.exec(readFileSync(join(ROOT, 's.yaml'), 'utf8')) ?? [];
    const declared = [...vars.matchAll(/env\('(TAIRLIFT_\w+)'/g)].map(([, name = '']) => name);
    const used = [...readFileSync(join(ROOT, 's.yaml'), 'utf8').matchAll(/env\('(TAIRLIFT_\w+)'/g)].map(
      ([, name = '']) => name,
    );

    expect([...new Set(used)].sort()).toEqual([...new Set(declared)].sort());
  });

  it('has its variables in docs/deploy.md, with their defaults', () => {
    const declared = [
      ...readFileSync(join(ROOT, 's.yaml'), 'utf8').matchAll(/env\('(TAIRLIFT_\w+)', '([^']*)'\)/g),
    ];
    const page = readFileSync(join(ROOT, 'docs', 'deploy.md'), 'utf8');
    const [, table = ''] = /<!-- variables: s.yaml -->\n([^]*?)\n\n/.exec(page) ?? [];
    const told = table.split('\n').flatMap((line) => {
      const [names = '', value = ''] = line.replace(/^\| /, '').split(' | ');
      const text =
        { 'must be set': '', empty: '', 'the usual ones': '-' }[value] ?? value.replaceAll('`', '');
      return [...names.matchAll(/TAIRLIFT_\w+/g)].map(([name]) => [name, text] as const);
    });

    expect(Object.fromEntries(told)).toEqual(
      Object.fromEntries(declared.map(([, name = '', value = '']) => [name, value])),
    );
  });
});
