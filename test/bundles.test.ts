import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * What travels in each bundle. A new package, also one that a package brings along, is a decision: it is listed here
 * or it is not there.
 */
const SHARED = `
@alicloud/credentials @alicloud/openapi-core @alicloud/r-kvstore20150101 @alicloud/tea-typescript
@darabonba/typescript ali-oss copy-to core-util-is dateformat end-of-stream es-define-property escape-html
extend-shallow httpx humanize-ms ini is-class-hotfix is-extendable is-type-of isstream kitx lodash merge-descriptors
mime ms once p-limit pump qs sax stream-wormhole unescape utility wrappy xml2js yocto-queue zod
`;
/** Asked for by name, and empty: scripts/slim.mjs says why. */
const EMPTY = 'agentkeepalive bowser debug moment platform side-channel urllib';
const ONLY: Readonly<Record<string, string>> = {
  orchestrator:
    '@alicloud/fc2 @alicloud/fc20230330 axios babel-runtime fastest-levenshtein follow-redirects regenerator-runtime ws yaml',
  uploader: '',
};
/** Cold starts read and compile all of it. Today's sizes and a tenth more. */
const MAX_BYTES: Readonly<Record<string, number>> = { orchestrator: 1_290_000, uploader: 890_000 };
/**
 * What loading may add to a bare Node, whose 40 MB nothing can change: it stays until the function's end. Today 17 and
 * 25 to 30 MB; with all of the SDKs it was 48 and 65.
 */
const MAX_LOADED_MB = 26;
const MAX_IMPORTED_MB = 48;

const DIST = join(__dirname, '..', 'dist');

interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

function packagesOf(name: string): string[] {
  const { outputs } = JSON.parse(readFileSync(join(DIST, 'about', `${name}.json`), 'utf8')) as Metafile; // written by esbuild
  const packages = new Set<string>();
  for (const { inputs } of Object.values(outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const match = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
      if (match?.[1] !== undefined && bytesInOutput > 0) packages.add(match[1]);
    }
  }
  return [...packages].sort();
}

describe.each(['orchestrator', 'uploader'])('the bundle of the %s', (name) => {
  it('holds exactly the packages that are listed', () => {
    const listed = `${SHARED} ${EMPTY} ${ONLY[name] ?? ''}`.split(/\s+/).filter((item) => item !== '');
    expect(packagesOf(name)).toEqual(listed.sort());
  });

  it('lies in a folder with the plans, and with nothing else that would be deployed', () => {
    expect(readdirSync(join(DIST, name)).sort()).toEqual(['index.js', 'plans.yaml']);
  });

  it('is not larger than it should be', () => {
    expect(statSync(join(DIST, name, 'index.js')).size).toBeLessThan(MAX_BYTES[name] ?? 0);
  });

  it('exports a handler of two parameters, as the platform calls it', async () => {
    const loaded = (await import(join(DIST, name, 'index.js'))) as { handler?: unknown };
    expect(loaded.handler).toBeInstanceOf(Function);
    expect(loaded.handler).toHaveLength(2);
  });

  it('carries the plans beside it', () => {
    expect(readFileSync(join(DIST, name, 'plans.yaml'), 'utf8')).toContain('plans:');
  });

  const withMemory = existsSync('/proc/self/status') ? it : it.skip;

  withMemory.each([
    ['require', `require(process.env.FILE)`, MAX_LOADED_MB],
    // Node looks through the text for names first, and for what kind of module it is.
    ['import', `await import(process.env.FILE)`, MAX_IMPORTED_MB],
  ])('holds little memory when it is loaded with %s, and never held more', async (_how, load, limit) => {
    const bare = await peakMbOf('');
    const loaded = await peakMbOf(load, join(DIST, name, 'index.js'));
    expect(loaded - bare).toBeLessThan(limit);
    // A bundle that was not loaded would hold none.
    expect(loaded - bare).toBeGreaterThan(5);
  });
});

describe('the bundle of the uploader', () => {
  it('keeps the space of young objects as small as it was at the start', async () => {
    const churn = `const kept = [];
      for (let i = 0; i < 5000; i++) kept[i % 100] = new Array(1000).fill(i);
      const { space_size } = require('node:v8').getHeapSpaceStatistics().find((s) => s.space_name === 'new_space');
      process.stdout.write(String(space_size), () => process.exit());`;

    const [bare, loaded] = [
      Number(await runFresh(churn)),
      Number(await runFresh(`require(process.env.FILE); ${churn}`, join(DIST, 'uploader', 'index.js'))),
    ];

    expect(loaded).toBeLessThan(bare / 2);
  });
});

/** The peak of the resident set of a fresh process that has run this code, in MB. */
async function peakMbOf(code: string, file = ''): Promise<number> {
  const script = `(async () => {
    ${code};
    const status = require('node:fs').readFileSync('/proc/self/status', 'latin1');
    process.stdout.write(/VmHWM:\\s+(\\d+)/.exec(status)[1], () => process.exit());
  })();`;
  const peaks: number[] = [];
  for (let run = 0; run < 3; run++) peaks.push(Number(await runFresh(script, file)) / 1024);
  return peaks.sort((a, b) => a - b)[1] ?? 0;
}

/** What this code prints in a process of its own, which finds the file's path in `FILE`. */
async function runFresh(script: string, file = ''): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
    env: { PATH: process.env['PATH'], FILE: file },
  });
  return stdout;
}
