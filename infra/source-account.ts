/** What the role of a source account may do: whatever of the table concerns instances, for whoever needs it. */
import { PERMISSIONS, type Scope } from '../functions/core/permissions.ts';
import { between } from './between.ts';

/** The template with its actions made anew. */
export function sourceAccountTemplate(template: string): string {
  return SCOPES.reduce(
    (text, scope) => between(text, { from: `# made: ${scope}`, to: '# end' }, actionsOn(scope)),
    template,
  );
}

/** `everything` for the calls that work on no single instance. */
const SCOPES: readonly Scope[] = ['everything', 'instances'];

const INDENT = ' '.repeat(18);

function actionsOn(scope: Scope): string {
  const actions = PERMISSIONS.flatMap(({ action, on }) =>
    action.startsWith('kvstore:') && on.includes(scope) ? [action] : [],
  );
  return [...new Set(actions)].map((action) => `${INDENT}- ${action}`).join('\n');
}
