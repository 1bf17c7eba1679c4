/** The table of permissions as the tables of docs/permissions.md, which stand between marks in its prose. */
import {
  PERMISSIONS,
  conditionOn,
  permissionsOf,
  resourcesOn,
  type Place,
  type When,
  type Who,
} from '../functions/core/permissions.ts';
import { between } from './between.ts';
import { markdownTable } from './markdown-table.ts';
import { namesOf } from './names.ts';

/** The page with its tables made anew. Throws when one of the marks is missing. */
export function permissionTables(page: string): string {
  const tables: readonly (readonly [string, string])[] = [
    ...WHO.map((who) => [who, table(who)] as const),
    // Both functions need the same: a test says so.
    ...WHEN.map((when) => [when, table('orchestrator', when)] as const),
    ['resources', scopes()],
  ];
  return tables.reduce(
    (text, [name, made]) => between(text, { from: `<!-- made: ${name} -->`, to: '<!-- end -->' }, made),
    page,
  );
}

const WHO: readonly Who[] = ['orchestrator', 'uploader', 'doctor'];
const WHEN: readonly When[] = ['other-accounts', 'kms', 'vpc', 'fc2'];

const PLACE: Place = {
  ...namesOf('<stage>', '<account>'),
  region: '<region>',
  accountId: '<account>',
  bucket: '<bucket>',
  prefix: '<prefix>',
  sourceRoles: ['acs:ram::<source account>:role/tairlift-source'],
  key: '<key>',
};

function table(who: Who, only?: When): string {
  const permissions = permissionsOf(who).filter(({ when }) => when === only);
  return markdownTable(
    ['action', 'call', 'why', 'on', 'without it'],
    permissions.map(({ action, call, by, why, on, without = LOUD }) => [
      `\`${action}\``,
      by === undefined ? call : `${call}, by the ${by}`,
      why,
      on.join(', '),
      without,
    ]),
  );
}

/** Nothing to say: what was attempted fails, by name. */
const LOUD = '';

/** What the words of the column `on` are in a policy. */
function scopes(): string {
  const words = [...new Set(PERMISSIONS.flatMap(({ on }) => on))];
  return markdownTable(
    ['on', 'resource', 'condition'],
    words.map((word) => [
      word,
      resourcesOn(word, PLACE)
        .map((arn) => `\`${arn}\``)
        .join(', '),
      Object.entries(conditionOn(word, PLACE)?.StringLike ?? {})
        .map(([key, values]) => `\`${key}\` like \`${values.join(', ')}\``)
        .join(', '),
    ]),
  );
}
