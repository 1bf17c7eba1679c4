/** The table of permissions as policies of RAM. */
import {
  conditionOn,
  permissionsOf,
  resourcesOn,
  type Place,
  type Scope,
  type When,
  type Who,
} from '../functions/core/permissions.ts';

export interface Statement {
  readonly effect: 'Allow';
  readonly action: readonly string[];
  readonly resource: readonly string[];
  readonly condition?: { readonly StringLike: Readonly<Record<string, readonly string[]>> };
}

/**
 * What one of them is allowed, actions on the same resources together, in the order of the table.
 * @param when the rights that it needs always (left out), or only then
 */
export function statementsOf(who: Who, place: Place, when?: When): readonly Statement[] {
  const byScopes = new Map<string, { readonly on: readonly Scope[]; readonly actions: string[] }>();
  for (const { action, on, when: only } of permissionsOf(who)) {
    if (only !== when) continue;
    const group = byScopes.get(on.join(' ')) ?? { on, actions: [] };
    group.actions.push(action);
    byScopes.set(on.join(' '), group);
  }
  return [...byScopes.values()].map(({ on, actions }) => {
    const condition = conditionsOn(on, place);
    return {
      effect: 'Allow',
      action: actions,
      resource: [...new Set(on.flatMap((scope) => resourcesOn(scope, place)))],
      ...(condition === undefined ? {} : { condition: { StringLike: condition } }),
    };
  });
}

function conditionsOn(
  on: readonly Scope[],
  place: Place,
): Readonly<Record<string, readonly string[]>> | undefined {
  const conditions = on.flatMap((scope) => {
    const condition = conditionOn(scope, place)?.StringLike;
    return condition === undefined ? [] : [condition];
  });
  // A condition holds for a whole statement: with another scope beside it, it would restrict that one too.
  if (conditions.length > 0 && on.length > 1)
    throw new Error(`${on.join(', ')}: a scope with a condition stands alone`);
  return conditions[0];
}
