/**
 * Who may call: accounts with access keys, roles that can be assumed, and the sessions (STS tokens) that were
 * issued for them. Services look callers up here to check signatures, and ask whether an action is allowed.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';
import { decide, type PolicyDocument, type Question, type Statement, type Verdict } from './policy.ts';

export interface AccessKey {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
}

export interface Role {
  readonly accountId: string;
  readonly name: string;
  /** `acs:ram::<accountId>:role/<name>` */
  readonly arn: string;
  /** Account ids and services (`fc.aliyuncs.com`) that may assume it. */
  readonly trusts: readonly string[];
  readonly externalId?: string;
  /** What a session may do with everything: `kvstore:CreateBackup`, `oss:PutObject`, `fc:*`, `*`. Short for a policy. */
  readonly allow: readonly string[];
  readonly policies?: readonly Policy[];
}

export interface Policy {
  readonly name: string;
  readonly type: 'Custom' | 'System';
  readonly document: PolicyDocument;
}

/** A caller that was recognised by its access key id (and token). */
export interface Principal {
  readonly accountId: string;
  /** `acs:ram::<uid>:root` or `acs:ram::<uid>:assumed-role/<role>/<session>` */
  readonly arn: string;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
  /** Milliseconds since 1970; only sessions expire. */
  readonly expiresAt?: number;
  /** What its policies say now: a role's sessions follow when the role is changed. */
  readonly statements: readonly Statement[];
}

export type Lookup =
  | { readonly kind: 'found'; readonly principal: Principal }
  | { readonly kind: 'unknown-key' }
  | { readonly kind: 'missing-token' }
  | { readonly kind: 'wrong-token' }
  | { readonly kind: 'expired-token' };

export interface Session extends AccessKey {
  readonly securityToken: string;
  readonly expiresAt: number;
}

export interface Identity {
  /** Adds an account with one access key that may do everything in it. */
  addAccount(accountId: string, key?: AccessKey): AccessKey;
  /** Replaces the role of the same name, for sessions that were issued too. */
  addRole(role: Omit<Role, 'arn'>): Role;
  /** False when there was none. Its sessions may do nothing from now on. */
  removeRole(arn: string): boolean;
  role(arn: string): Role | undefined;
  roles(): readonly Role[];
  /** Issues a session of the role; the caller has checked that it may. */
  issue(role: Role, sessionName: string, durationSeconds: number): Session;
  lookup(accessKeyId: string, securityToken: string | undefined): Lookup;
  /** Makes a session's token expire now. Unknown ids are ignored. */
  expire(accessKeyId: string): void;
  /** The time against which times in signatures are held. */
  callersNow(): number;
}

export function createIdentity(clock: Clock): Identity {
  const principals = new Map<string, Known>();
  const roles = new Map<string, Role>();

  return {
    callersNow: () => clock.callersNow(),
    addAccount(accountId, key = newKey('LTAI')) {
      principals.set(key.accessKeyId, { accountId, arn: `acs:ram::${accountId}:root`, ...key });
      return key;
    },
    addRole(role) {
      const complete = { ...role, arn: `acs:ram::${role.accountId}:role/${role.name}` };
      roles.set(complete.arn, complete);
      return complete;
    },
    removeRole: (arn) => roles.delete(arn),
    role: (arn) => roles.get(arn),
    roles: () => [...roles.values()],
    issue(role, sessionName, durationSeconds) {
      const session: Session = {
        ...newKey('STS.'),
        securityToken: randomBytes(48).toString('base64'),
        expiresAt: clock.now() + durationSeconds * 1000,
      };
      const arn = `acs:ram::${role.accountId}:assumed-role/${role.name}/${sessionName}`;
      principals.set(session.accessKeyId, { accountId: role.accountId, arn, ...session, roleArn: role.arn });
      return session;
    },
    lookup(accessKeyId, securityToken) {
      const principal = principals.get(accessKeyId);
      if (principal === undefined) return { kind: 'unknown-key' };
      if (principal.securityToken !== undefined) {
        if (securityToken === undefined) return { kind: 'missing-token' };
        if (securityToken !== principal.securityToken) return { kind: 'wrong-token' };
        if ((principal.expiresAt ?? Infinity) <= clock.now()) return { kind: 'expired-token' };
      }
      const { roleArn, ...rest } = principal;
      const statements = roleArn === undefined ? EVERYTHING : statementsOf(roles.get(roleArn));
      return { kind: 'found', principal: { ...rest, statements } };
    },
    expire(accessKeyId) {
      const principal = principals.get(accessKeyId);
      if (principal?.securityToken !== undefined)
        principals.set(accessKeyId, { ...principal, expiresAt: clock.now() });
    },
  };
}

/** The caller without what its role says at the time. */
interface Known extends Omit<Principal, 'statements'> {
  readonly roleArn?: string;
}

const EVERYTHING: readonly Statement[] = [{ Effect: 'Allow', Action: '*', Resource: '*' }];

/** All policies of a role; the short form as one that is called after it. */
export function policiesOf({ name, allow, policies = [] }: Role): readonly Policy[] {
  if (allow.length === 0) return policies;
  const document = { Version: '1', Statement: [{ Effect: 'Allow', Action: allow, Resource: '*' }] } as const;
  return [...policies, { name: `${name}-short`, type: 'Custom', document }];
}

export function statementsOf(role: Role | undefined): readonly Statement[] {
  return role === undefined ? [] : policiesOf(role).flatMap(({ document }) => document.Statement);
}

/** What the caller's own policies and those of the resource say together. */
export function verdictOn(
  principal: Principal,
  question: Question,
  ofResource: readonly Statement[] = [],
): Verdict {
  return decide([...principal.statements, ...ofResource], question);
}

export function isAllowed(principal: Principal, question: Question): boolean {
  return verdictOn(principal, question) === 'allowed';
}

function newKey(prefix: string): AccessKey {
  return {
    accessKeyId: prefix + randomBytes(12).toString('hex'),
    accessKeySecret: randomBytes(20).toString('base64url'),
  };
}
