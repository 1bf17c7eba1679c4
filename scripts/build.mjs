/**
 * Bundles what runs: one self-contained CommonJS file per function, the CLI, the demo, the bench, and the host
 * process in which the emulator runs a function. Writes `dist/<name>/index.js`, and beside the folders what is not to
 * be deployed with them: `dist/about/<name>.json`, esbuild's own account of the bundle, for the tests of size and
 * content, and `dist/about/<name>.js.map`, with which a stack of a deployed function is read.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import buildWasm from './build-wasm.mjs';
import { lateImports, onlyWhatIsCalled } from './slim.mjs';
import { withoutVerification } from './unverified.mjs';

const ENTRIES = {
  orchestrator: 'functions/orchestrator/handler.ts',
  uploader: 'functions/uploader/handler.ts',
  // How the functions reach the vendor, for the tests: what was left out must not be missed.
  cloud: 'test/aliyun/bundled-cloud.ts',
  'function-host': 'emulator/fc/function-host.ts',
  cli: 'cli/main.ts',
  demo: 'demo/main.ts',
  'check-deploy': 'infra/check/main.ts',
  ...(existsSync('test/bench/main.ts')
    ? {
        bench: 'test/bench/main.ts',
        'bench-uploader': 'test/bench/clients/uploader.ts',
        'bench-ali-oss': 'test/bench/clients/ali-oss.ts',
        'bench-unverified': 'functions/uploader/handler.ts',
      }
    : {}),
  faults: 'test/faults/main.ts',
  'fast-time': 'test/faults/fast-time.ts',
  fleet: 'test/fleet/main.ts',
};
const FUNCTIONS = ['orchestrator', 'uploader'];
const SLIM = [...FUNCTIONS, 'cloud', 'bench-unverified'];

/**
 * The space of young objects doubles when a few of them survive, up to 2 x 16 MB, and stays so. A transfer leaves some
 * 50 MB of them behind in a gigabyte, and the space that Node starts with is enough for that: here it does not grow.
 */
const YOUNG_STAY_SMALL = `"use strict";require("node:v8").setFlagsFromString("--semi-space-growth-factor=1");`;

await buildWasm();
await rm('dist', { recursive: true, force: true });
await mkdir('dist/about', { recursive: true });
for (const [name, entry] of Object.entries(ENTRIES)) {
  if (!existsSync(entry)) throw new Error(`build ${name}: ${entry} is missing`);
  const result = await build({
    entryPoints: [entry],
    outfile: `dist/${name}/index.js`,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    loader: { '.wasm': 'binary' },
    // Names stay: stacks are read, and errors told apart, by them. To keep them beside short ones (`keepNames`) would
    // rename each function as it is loaded, for some 5 MB of heap.
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: FUNCTIONS.includes(name) ? 'external' : 'linked',
    sourcesContent: false,
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [
      SLIM.includes(name) ? onlyWhatIsCalled() : lateImports(),
      ...(name === 'bench-unverified' ? [withoutVerification()] : []),
    ],
    // urllib, below ali-oss, asks for it only when a proxy is configured.
    external: ['proxy-agent'],
    banner: { js: ['uploader', 'bench-unverified'].includes(name) ? YOUNG_STAY_SMALL : '' },
  });
  await writeFile(`dist/about/${name}.json`, JSON.stringify(result.metafile));
}
// What is in a function's folder goes up with it, and nothing else.
for (const name of FUNCTIONS) {
  await rename(`dist/${name}/index.js.map`, `dist/about/${name}.js.map`);
  await copyFile('plans.yaml', `dist/${name}/plans.yaml`);
}
