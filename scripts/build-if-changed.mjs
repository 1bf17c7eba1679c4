/**
 * Builds when something of what is deployed, or the checker of the deployment, is older than what it is made of. Whoever
 * runs it twice, or while others use `dist`, changes nothing.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';

const CHECKED = ['orchestrator', 'uploader', 'check-deploy'];
const ASSEMBLY = 'functions/core/wasm/assembly';
const BESIDES = [
  'plans.yaml',
  'package-lock.json',
  ...['build', 'build-wasm', 'slim'].map((name) => `scripts/${name}.mjs`),
  ...readdirSync(ASSEMBLY).map((name) => `${ASSEMBLY}/${name}`),
];

function isCurrent(name) {
  try {
    const builtAt = statSync(`dist/about/${name}.json`).mtimeMs;
    const { inputs } = JSON.parse(readFileSync(`dist/about/${name}.json`, 'utf8'));
    return [...Object.keys(inputs), ...BESIDES].every((file) => statSync(file).mtimeMs <= builtAt);
  } catch {
    return false;
  }
}

if (!CHECKED.every(isCurrent)) await import('./build.mjs');
