/** Runs infra/synth.ts, which writes infra/template.json and the tables of the documentation; or checks them. Needs no network. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

process.chdir(resolve(import.meta.dirname, '..'));
// Inside of the project, so that the packages are found; ROS CDK is large and stays outside of the bundle.
const folder = await mkdtemp(join('node_modules', '.synth-'));
try {
  const outfile = resolve(folder, 'synth.cjs');
  await build({
    entryPoints: ['infra/synth.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    packages: 'external',
    logLevel: 'warning',
  });
  await import(pathToFileURL(outfile));
} finally {
  await rm(folder, { recursive: true, force: true });
}
