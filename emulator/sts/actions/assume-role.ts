import { ServiceError } from '../../http.ts';
import { isAllowed, type Identity, type Principal, type Role } from '../../identity.ts';
import { required, type Action, type Call } from '../../openapi/rpc-service.ts';

const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 900;
/** A role's MaxSessionDuration, unless somebody has raised it. */
const MAX_SECONDS = 3600;

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerole */
export const assumeRole = (identity: Identity): Action => ({
  methods: ['POST', 'GET'],
  perform(call) {
    const arn = required(call, 'RoleArn');
    const sessionName = required(call, 'RoleSessionName');
    if (!/^acs:ram::\d+:role\/[\w.-]+$/i.test(arn))
      throw invalid('RoleArn', 'The parameter RoleArn is wrongly formed.');
    if (!/^[\w.@-]{2,64}$/.test(sessionName))
      throw invalid('RoleSessionName', 'The parameter RoleSessionName is wrongly formed.');
    const seconds = readSeconds(call);
    checkPolicy(call.parameters.get('Policy'));

    const role = identity.role(arn);
    if (role === undefined)
      throw new ServiceError(404, 'EntityNotExist.Role', 'The specified Role not exists.');
    const question = { action: 'sts:AssumeRole', resource: role.arn };
    if (!isAllowed(call.principal, question) || !isTrusted(role, call))
      throw new ServiceError(
        403,
        'NoPermission',
        'You are not authorized to do this action. You should be authorized by RAM.',
      );
    const session = identity.issue(role, sessionName, seconds);
    return {
      AssumedRoleUser: {
        Arn: `acs:ram::${role.accountId}:role/${role.name}/${sessionName}`,
        AssumedRoleId: `3${role.accountId}:${sessionName}`,
      },
      Credentials: {
        AccessKeyId: session.accessKeyId,
        AccessKeySecret: session.accessKeySecret,
        SecurityToken: session.securityToken,
        // To the second: clients parse 20 characters.
        Expiration: new Date(session.expiresAt).toISOString().replace(/\.\d{3}/, ''),
      },
    };
  },
});

/** Does the role trust the caller's account (or the caller by name), and does the caller know its external id? */
function isTrusted(role: Role, { principal, parameters }: Call): boolean {
  if (!namesOf(principal).some((name) => role.trusts.includes(name))) return false;
  return role.externalId === undefined || role.externalId === parameters.get('ExternalId');
}

function namesOf({ accountId, arn }: Principal): readonly string[] {
  const [, roleName] = /:assumed-role\/([^/]+)\//.exec(arn) ?? [];
  const role = roleName === undefined ? [] : [`acs:ram::${accountId}:role/${roleName}`];
  return [accountId, `acs:ram::${accountId}:root`, arn, ...role];
}

function readSeconds(call: Call): number {
  const text = call.parameters.get('DurationSeconds') ?? String(DEFAULT_SECONDS);
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= MIN_SECONDS && seconds <= MAX_SECONDS) return seconds;
  throw invalid('DurationSeconds', 'The Min/Max value of DurationSeconds is 15min/1hr.');
}

/** A session's policy must be JSON; what it takes away is not emulated. */
function checkPolicy(policy: string | undefined): void {
  if (policy === undefined || policy === '') return;
  try {
    JSON.parse(policy);
  } catch {
    throw invalid('PolicyGrammar', 'The parameter Policy has not passed grammar check.');
  }
}

const invalid = (name: string, message: string): ServiceError =>
  new ServiceError(400, `InvalidParameter.${name}`, message);
