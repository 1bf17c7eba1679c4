/** The components with which the CLI deploys: our doubles of them, and the real ones where the CLI has fetched them. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Component } from './deployment-folder.ts';

export type Components = Readonly<Record<string, Component>>;

/** The same calls in the same order, through the same clients. */
export function doubleComponents(): Components {
  return {
    fc3: { code: bundle('fc3', 'Fc3') },
    ros: { code: bundle('ros', 'Ros') },
    'fc3-domain': { code: 'module.exports = class {};' },
  };
}

/** Undefined when the user's own CLI has never deployed with them. */
export function realComponents(): Components | undefined {
  const base = process.env['serverless_devs_config_home'] ?? homedir();
  const folderOf = (name: string): string => join(base, '.s', 'components', 'devsapp.cn', 'v3', name);
  const names = ['fc3', 'ros', 'fc3-domain'];
  if (!names.every((name) => existsSync(join(folderOf(name), '.s.lock')))) return undefined;
  return Object.fromEntries(names.map((name) => [name, { folder: folderOf(name) }]));
}

function bundle(name: string, className: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [join(__dirname, 'components', `${name}.ts`)],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['proxy-agent'],
    logLevel: 'error',
    // The CLI takes a class, or a module whose default is one.
    footer: { js: `module.exports = module.exports.${className};` },
  });
  return outputFiles[0]?.text ?? '';
}
