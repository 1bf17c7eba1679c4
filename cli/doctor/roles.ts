/** The role of a function: may it do what the function needs, and nothing beside? */
import type { FunctionFacts, Inspection, RoleFacts } from '../../functions/core/compose.ts';
import type { Destination } from '../../functions/core/config.ts';
import type { BucketEncryption } from '../../functions/core/repository/bucket-settings.ts';
import {
  conditionOn,
  permissionsOf,
  resourcesOn,
  type Permission,
  type Place,
  type Scope,
} from '../../functions/core/permissions.ts';
import { attempt, bad, failed, note, ok, type Check } from './check.ts';
import type { Deployed, FunctionName } from './functions.ts';
import {
  excessOf,
  judge,
  othersTrusted,
  parsePolicy,
  trusts,
  type Excess,
  type Need,
  type Policy,
} from './policies.ts';

/** What decides which rights the roles need, and on what. */
export interface Setting {
  readonly region: string;
  readonly accountId: string;
  readonly deployed: Deployed;
  readonly destinations: readonly Destination[];
  /** Of those buckets, as far as it is known. */
  readonly encryption: readonly BucketEncryption[];
  /** ARNs of the roles of other accounts. */
  readonly sourceRoles: readonly string[];
  /** Of this account. */
  readonly instances: readonly { readonly region: string; readonly id: string }[];
}

const SERVICE = 'fc.aliyuncs.com';

export async function checkRole(
  who: FunctionName,
  facts: FunctionFacts,
  setting: Setting,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const [, name] = /:role\/(.+)$/.exec(facts.role) ?? [];
  if (name === undefined) return [];
  return attempt('role', name, signal, async (limited) => {
    let role: RoleFacts;
    try {
      role = await inspection.readRole(name, limited);
    } catch (error) {
      limited.throwIfAborted();
      const check = failed('role', name, error);
      // What may not be looked at may well be right.
      return [check.says.startsWith('PERMISSION_DENIED') ? { ...check, status: 'warn' } : check];
    }
    return [...checkTrust(name, role), ...checkRights(name, who, role, facts, setting)];
  });
}

function checkTrust(name: string, { trust }: RoleFacts): readonly Check[] {
  const isTrusted = trusts(trust, SERVICE);
  if (isTrusted === undefined) return [note('role', name, 'its trust policy cannot be read from here')];
  if (!isTrusted)
    return [
      bad(
        'error',
        'role',
        name,
        'Function Compute may not take it on, so the function would start without any rights',
        `name the service ${SERVICE} in its trust policy`,
      ),
    ];
  const others = othersTrusted(trust, SERVICE);
  return others.length === 0
    ? []
    : [
        bad(
          'warn',
          'role',
          name,
          `others than Function Compute may take it on too: ${others.join(', ')}`,
          'take them out of its trust policy',
        ),
      ];
}

const NAMED_EXCESS = 5;

function checkRights(
  name: string,
  who: FunctionName,
  { policies: documents }: RoleFacts,
  facts: FunctionFacts,
  setting: Setting,
): readonly Check[] {
  let policies: readonly Policy[];
  try {
    policies = documents.map((policy) => parsePolicy(policy.name, policy.document));
  } catch {
    return [note('role', name, 'one of its policies cannot be read from here')];
  }
  const places = placesOf(facts, setting);
  const mayBeNeeded = permissionsOf(who).filter(({ when }) => when !== 'fc2');
  const checks = mayBeNeeded
    .filter((permission) => isNeeded(permission, facts, setting))
    .flatMap((permission) => checkRight(name, permission, policies, places, setting));
  const everything = mayBeNeeded.flatMap((permission) => needsOf(permission, places));
  checks.push(...checkExcess(name, excessOf(policies, everything)));
  if (checks.length > 0) return checks;
  const count = `${policies.length} ${policies.length === 1 ? 'policy' : 'policies'}`;
  return [ok('role', name, `may do what it needs and nothing else, by ${count}`)];
}

function checkRight(
  name: string,
  permission: Permission,
  policies: readonly Policy[],
  places: readonly Place[],
  setting: Setting,
): readonly Check[] {
  const { action, why, without, when } = permission;
  const verdicts = needsOf(permission, places)
    .flatMap((need) => exactly(need, setting))
    .map((need) => ({ need, verdict: judge(policies, need) }));
  const missing = verdicts.filter(({ verdict }) => verdict.kind === 'missing' || verdict.kind === 'denied');
  const unclear = verdicts.flatMap(({ verdict }) => (verdict.kind === 'unclear' ? verdict.conditions : []));
  const [first] = missing;
  if (first !== undefined) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
    const by = first.verdict.kind === 'denied' ? `, which policy ${first.verdict.by} denies` : '';
    return [
      bad(
        // What is needed at times is needed now, or it would not be looked at.
        without === undefined || when !== undefined ? 'error' : 'warn',
        'role',
        name,
        `lacks ${action} on ${first.need.resource}${more}${by} (${without ?? why})`,
        first.verdict.kind === 'denied'
          ? `take that out of the policy ${first.verdict.by}`
          : `allow ${action} on it, or deploy infra again: its roles have what docs/permissions.md lists`,
      ),
    ];
  }
  if (unclear.length === 0) return [];
  return [
    bad(
      'warn',
      'role',
      name,
      `cannot tell from here whether it may ${action}: that depends on ${[...new Set(unclear)].join(', ')}`,
      'make a dry run: `tairlift backup --dry-run`, or invoke the orchestrator with {"dryRun": true}',
    ),
  ];
}

function checkExcess(name: string, excess: readonly Excess[]): readonly Check[] {
  const describeAll = (some: readonly Excess[]): string => {
    const named = some
      .slice(0, NAMED_EXCESS)
      .map(({ action, resources, policy }) => `${action} on ${resources.join(', ')} (${policy})`);
    return `${named.join('; ')}${some.length > named.length ? `; and ${some.length - named.length} more` : ''}`;
  };
  const dangerous = excess.filter(({ isDangerous }) => isDangerous);
  const others = excess.filter(({ isDangerous }) => !isDangerous);
  return [
    ...(dangerous.length === 0
      ? []
      : [
          bad(
            'error',
            'role',
            name,
            `may remove or weaken what protects backups: ${describeAll(dangerous)}`,
            'take that away: no function of tairlift deletes or replaces anything',
          ),
        ]),
    ...(others.length === 0
      ? []
      : [
          bad(
            'warn',
            'role',
            name,
            `may do more than it needs: ${describeAll(others)}`,
            'take that away; docs/permissions.md lists what is needed',
          ),
        ]),
  ];
}

/** Where several plans write to several buckets, a role needs its rights on all of them. */
function placesOf(facts: FunctionFacts, setting: Setting): readonly Place[] {
  const { region, accountId, deployed, destinations, encryption, sourceRoles } = setting;
  return destinations.map(({ bucket, prefix }) => ({
    region,
    accountId,
    bucket,
    prefix,
    orchestrator: deployed.orchestrator ?? '*',
    uploader: deployed.uploader ?? '*',
    orchestratorRole: '*',
    uploaderRole: '*',
    logProject: facts.log?.project ?? '*',
    logstore: facts.log?.logstore ?? '*',
    deadLetters: /\/queues\/([^/]+)/.exec(facts.tries?.givenUpTo ?? '')?.[1] ?? '*',
    sourceRoles,
    key: encryption.find(({ key }) => key !== undefined)?.key ?? '*',
  }));
}

function isNeeded(
  { when, on }: Permission,
  facts: FunctionFacts,
  { sourceRoles, encryption }: Setting,
): boolean {
  if (on.includes('logstore')) return facts.log !== undefined;
  if (on.includes('dead-letters')) return facts.tries?.givenUpTo?.includes(':mns:') === true;
  if (when === 'other-accounts') return sourceRoles.length > 0;
  if (when === 'kms')
    return encryption.some(({ algorithm, key }) => algorithm === 'KMS' && key !== undefined);
  return when === undefined || facts.isInVpc;
}

function needsOf({ action, on }: Permission, places: readonly Place[]): readonly Need[] {
  const scopes = places.flatMap((place) => on.map((scope) => ({ place, scope })));
  return scopes.flatMap(({ place, scope }) =>
    resourcesOn(scope, place).map((resource) => ({ action, resource, context: contextOf(scope, place) })),
  );
}

/** What a request of ours tells the policies. */
function contextOf(scope: Scope, place: Place): Readonly<Record<string, string>> {
  const conditions = Object.values(conditionOn(scope, place) ?? {}).flatMap((keys) => Object.entries(keys));
  return {
    'acs:SecureTransport': 'true',
    ...Object.fromEntries(conditions.map(([key, [value = '']]) => [key, value])),
  };
}

/**
 * The need on what there is, not on all that could be: a role that is limited to the instances of the plans is as good
 * as one for all. A function's qualifiers need nothing of their own.
 */
function exactly(need: Need, { accountId, destinations, instances }: Setting): readonly Need[] {
  const { resource } = need;
  if (resource.startsWith('acs:kvstore:'))
    return instances.map(({ region, id }) => ({
      ...need,
      resource: `acs:kvstore:${region}:${accountId}:instance/${id}`,
    }));
  if (resource.startsWith('acs:fc:') && resource.endsWith('/*')) return [];
  if (!resource.startsWith('acs:oss:')) return [need];
  const [, , , , ...rest] = resource.split(':');
  const path = rest.join(':');
  const at = destinations.find(({ bucket }) => path === bucket || path.startsWith(`${bucket}/`));
  return [{ ...need, resource: `acs:oss:${at?.region ?? '*'}:${accountId}:${path}` }];
}
