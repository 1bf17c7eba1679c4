/**
 * Who may call: accounts with access keys, roles that can be assumed, and the sessions (STS tokens) that were
 * issued for them. Services look callers up here to check signatures, and ask whether an action is allowed.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

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
  /** What a session may do: `kvstore:CreateBackup`, `oss:PutObject`, `fc:*`, `*`. */
  readonly allow: readonly string[];
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
  readonly allow: readonly string[];
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
  addRole(role: Omit<Role, 'arn'>): Role;
  role(arn: string): Role | undefined;
  /** Issues a session of the role; the caller has checked that it may. */
  issue(role: Role, sessionName: string, durationSeconds: number): Session;
  lookup(accessKeyId: string, securityToken: string | undefined): Lookup;
  /** Makes a session's token expire now. Unknown ids are ignored. */
  expire(accessKeyId: string): void;
  /** The time against which times in signatures are held. */
  callersNow(): number;
}

export function createIdentity(clock: Clock): Identity {
  const principals = new Map<string, Principal>();
  const roles = new Map<string, Role>();

  return {
    callersNow: () => clock.callersNow(),
    addAccount(accountId, key = newKey('LTAI')) {
      principals.set(key.accessKeyId, { accountId, arn: `acs:ram::${accountId}:root`, ...key, allow: ['*'] });
      return key;
    },
    addRole(role) {
      const complete = { ...role, arn: `acs:ram::${role.accountId}:role/${role.name}` };
      roles.set(complete.arn, complete);
      return complete;
    },
    role: (arn) => roles.get(arn),
    issue(role, sessionName, durationSeconds) {
      const session: Session = {
        ...newKey('STS.'),
        securityToken: randomBytes(48).toString('base64'),
        expiresAt: clock.now() + durationSeconds * 1000,
      };
      const arn = `acs:ram::${role.accountId}:assumed-role/${role.name}/${sessionName}`;
      principals.set(session.accessKeyId, { accountId: role.accountId, arn, ...session, allow: role.allow });
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
      return { kind: 'found', principal };
    },
    expire(accessKeyId) {
      const principal = principals.get(accessKeyId);
      if (principal?.securityToken !== undefined)
        principals.set(accessKeyId, { ...principal, expiresAt: clock.now() });
    },
  };
}

/** Does the principal's policy allow the action? `kvstore:*` and `*` are understood, resources are not looked at. */
export function isAllowed(principal: Principal, action: string): boolean {
  const [product] = action.split(':');
  return principal.allow.some(
    (pattern) => pattern === '*' || pattern === action || pattern === `${product}:*`,
  );
}

function newKey(prefix: string): AccessKey {
  return {
    accessKeyId: prefix + randomBytes(12).toString('hex'),
    accessKeySecret: randomBytes(20).toString('base64url'),
  };
}
