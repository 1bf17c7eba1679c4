/** Everything that is written by `npm run synth`, as it has to stand in the repository. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { costTable } from './cost-table.ts';
import { createdTables } from './created-tables.ts';
import { permissionTables } from './permission-tables.ts';
import { sourceAccountTemplate } from './source-account.ts';
import { synthesize } from './template.ts';

const SOURCE_ACCOUNT = 'infra/source-account/template.yaml';

/** Paths from the repository's root, with what belongs there. */
export function generate(root: string): ReadonlyMap<string, string> {
  const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
  const template = synthesize();
  return new Map([
    ['infra/template.json', template],
    ['docs/deploy.md', costTable(textOf('docs/deploy.md'), textOf('s.yaml'))],
    ['docs/infrastructure.md', createdTables(textOf('docs/infrastructure.md'), template)],
    [SOURCE_ACCOUNT, sourceAccountTemplate(textOf(SOURCE_ACCOUNT))],
    ['docs/permissions.md', permissionTables(textOf('docs/permissions.md'))],
  ]);
}
