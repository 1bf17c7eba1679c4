/**
 * Bundles what runs: one self-contained CommonJS file per function, the CLI, the demo, the bench, and the host
 * process in which the emulator runs a function. Writes `dist/<name>/index.js` and, for the tests of size and
 * content, esbuild's own `dist/<name>/meta.json`.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import buildWasm from './build-wasm.mjs';

const ENTRIES = {
  orchestrator: 'functions/orchestrator/handler.ts',
  uploader: 'functions/uploader/handler.ts',
  'function-host': 'emulator/fc/function-host.ts',
  cli: 'cli/main.ts',
  demo: 'demo/main.ts',
  ...(existsSync('test/bench/main.ts')
    ? {
        bench: 'test/bench/main.ts',
        'bench-uploader': 'test/bench/clients/uploader.ts',
        'bench-ali-oss': 'test/bench/clients/ali-oss.ts',
      }
    : {}),
};
const FUNCTIONS = ['orchestrator', 'uploader'];

/**
 * The OpenAPI SDKs load a class for each request and answer of the whole product, some 800 of them, to use a few:
 * most of a function's cold start, and tens of megabytes of its memory. Here each is loaded when it is first named.
 */
const lazyModels = {
  name: 'lazy-models',
  setup({ onLoad }) {
    onLoad({ filter: /@alicloud[\\/][^\\/]+[\\/]dist[\\/]models[\\/]model\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const paths = new Map(
        [...text.matchAll(/^var (\w+) = (require\("[^"]+"\));$/gm)].map(([, name, load]) => [name, load]),
      );
      const contents = text
        .replaceAll(/^var \w+ = require\("[^"]+"\);$/gm, '')
        .replaceAll(/return (\w+)\.(\w+);/g, (whole, name, member) =>
          paths.has(name) ? `return ${paths.get(name)}.${member};` : whole,
        );
      if (paths.size === 0)
        throw new Error(`${path}: its shape has changed, nothing to load later was found`);
      return { contents, loader: 'js' };
    });
  },
};

/**
 * What the functions carry without using it: the HTTP client below ali-oss, whose place ours takes in every call,
 * with its tables of character sets; and, in those that read no plans, the parser of YAML.
 */
const unused = {
  name: 'unused',
  setup({ onLoad, onResolve, resolve }) {
    onLoad({ filter: /[\\/]node_modules[\\/]urllib[\\/]lib[\\/]index\.js$/ }, () => ({
      contents: 'module.exports = {};',
    }));
    onResolve({ filter: /^(yaml|fastest-levenshtein)$/ }, async ({ path, pluginData, ...options }) => {
      if (pluginData === 'resolving') return undefined;
      return { ...(await resolve(path, { ...options, pluginData: 'resolving' })), sideEffects: false };
    });
  },
};

await buildWasm();
await rm('dist', { recursive: true, force: true });
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
    // Half the size, a shorter cold start; names stay, because errors are told apart and read by them.
    minify: true,
    keepNames: true,
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: FUNCTIONS.includes(name) ? [lazyModels, unused] : [lazyModels],
    // urllib, below ali-oss, asks for it only when a proxy is configured.
    external: ['proxy-agent'],
  });
  await writeFile(`dist/${name}/meta.json`, JSON.stringify(result.metafile));
}
for (const name of FUNCTIONS) {
  await mkdir(`dist/${name}`, { recursive: true });
  await copyFile('plans.yaml', `dist/${name}/plans.yaml`);
}
