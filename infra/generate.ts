/** Everything that is written by `npm run synth`, as it has to stand in the repository. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { permissionTables } from './permission-tables.ts';
import { synthesize } from './template.ts';

/** Paths from the repository's root, with what belongs there. */
export function generate(root: string): ReadonlyMap<string, string> {
  const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
  return new Map([
    ['infra/template.json', synthesize()],
    ['docs/permissions.md', permissionTables(textOf('docs/permissions.md'))],
  ]);
}
