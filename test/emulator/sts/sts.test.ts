import { X509Certificate } from 'node:crypto';
import { ask, CALLER_ID, OWNER_ID, runScript, startSts, type RunningSts } from './start-sts.ts';

let sts: RunningSts;

beforeEach(async () => {
  sts = await startSts();
});

afterEach(async () => sts.stop());

interface Credentials {
  readonly AccessKeyId: string;
  readonly AccessKeySecret: string;
  readonly SecurityToken: string;
  readonly Expiration: string;
}

const validForm = (): Record<string, string> => ({
  RoleArn: sts.role.arn,
  RoleSessionName: 'nightly@tairlift',
  ExternalId: 'team-a',
  DurationSeconds: '900',
});

async function assume(): Promise<Credentials> {
  const { status, body } = await ask(sts, 'AssumeRole', validForm());
  expect(status).toBe(200);
  return body['Credentials'] as Credentials;
}

describe('AssumeRole', () => {
  it('gives the official credentials provider a session of the role', async () => {
    const printed = await runScript(
      sts,
      `const { RAMRoleARNCredentialsProvider, StaticAKCredentialsProvider } = require('@alicloud/credentials');
       const source = StaticAKCredentialsProvider.builder()
         .withAccessKeyId(${JSON.stringify(sts.caller.accessKeyId)})
         .withAccessKeySecret(${JSON.stringify(sts.caller.accessKeySecret)}).build();
       RAMRoleARNCredentialsProvider.builder().withCredentialsProvider(source)
         .withRoleArn(${JSON.stringify(sts.role.arn)}).withRoleSessionName('nightly').withExternalId('team-a')
         .withDurationSeconds(3600).withStsEndpoint(${JSON.stringify(sts.host)}).build()
         .getCredentials().then((found) => console.log(JSON.stringify(found)));`,
    );
    const { accessKeyId, securityToken } = JSON.parse(printed) as Record<string, string>;
    const found = sts.world.identity.lookup(accessKeyId ?? '', securityToken);
    expect(found).toMatchObject({
      kind: 'found',
      principal: { accountId: OWNER_ID, arn: `acs:ram::${OWNER_ID}:assumed-role/tairlift-source/nightly` },
    });
  });

  it('tells the official credentials provider why it has no permission', async () => {
    const printed = await runScript(
      sts,
      `const { RAMRoleARNCredentialsProvider, StaticAKCredentialsProvider } = require('@alicloud/credentials');
       const source = StaticAKCredentialsProvider.builder()
         .withAccessKeyId(${JSON.stringify(sts.stranger.accessKeyId)})
         .withAccessKeySecret(${JSON.stringify(sts.stranger.accessKeySecret)}).build();
       RAMRoleARNCredentialsProvider.builder().withCredentialsProvider(source)
         .withRoleArn(${JSON.stringify(sts.role.arn)}).withRoleSessionName('nightly').withExternalId('team-a')
         .withStsEndpoint(${JSON.stringify(sts.host)}).build()
         .getCredentials().catch((error) => console.log(error.message));`,
    );
    expect(printed).toMatch(/refresh session token failed: .*"Code":"NoPermission"/);
  });

  it('issues credentials that end when they say they do', async () => {
    const credentials = await assume();
    expect(credentials.Expiration).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const lookUp = (): string =>
      sts.world.identity.lookup(credentials.AccessKeyId, credentials.SecurityToken).kind;
    sts.world.clock.advance(899_000 - 1);
    expect(lookUp()).toBe('found');
    sts.world.clock.advance(2_000);
    expect(lookUp()).toBe('expired-token');
  });

  it('notes who called, and keeps secrets out of the journal', async () => {
    const { AccessKeySecret, SecurityToken } = await assume();
    const entries = sts.world.journal.entries({ action: 'AssumeRole' });
    expect(entries).toMatchObject([{ status: 200, caller: `acs:ram::${CALLER_ID}:root` }]);
    expect(JSON.stringify(entries)).not.toContain(AccessKeySecret);
    expect(JSON.stringify(entries)).not.toContain(SecurityToken);
  });

  it.each([
    ['an external id that is not the role’s', { ExternalId: 'team-b' }, 403, 'NoPermission'],
    ['a role that does not exist', { RoleArn: `acs:ram::${OWNER_ID}:role/none` }, 404, 'EntityNotExist.Role'],
    ['an ARN that is none', { RoleArn: 'tairlift-source' }, 400, 'InvalidParameter.RoleArn'],
    ['a session name with a space', { RoleSessionName: 'a b' }, 400, 'InvalidParameter.RoleSessionName'],
    [
      'a session shorter than 15 minutes',
      { DurationSeconds: '899' },
      400,
      'InvalidParameter.DurationSeconds',
    ],
    ['a session longer than an hour', { DurationSeconds: '3601' }, 400, 'InvalidParameter.DurationSeconds'],
    ['a policy that is not JSON', { Policy: '{' }, 400, 'InvalidParameter.PolicyGrammar'],
    ['no role at all', { RoleArn: '' }, 400, 'MissingParameter'],
  ])('refuses %s', async (_, change, status, code) => {
    const answer = await ask(sts, 'AssumeRole', { ...validForm(), ...change });
    expect(answer).toMatchObject({ status, body: { Code: code, Message: expect.any(String) as string } });
  });

  it('refuses a caller without the external id that the role asks for', async () => {
    const { ExternalId: _, ...form } = validForm();
    expect(await ask(sts, 'AssumeRole', form)).toMatchObject({ status: 403, body: { Code: 'NoPermission' } });
  });

  it('refuses a role session that may not assume roles', async () => {
    const session = await assume();
    const key = {
      accessKeyId: session.AccessKeyId,
      accessKeySecret: session.AccessKeySecret,
      securityToken: session.SecurityToken,
    };
    expect(await ask(sts, 'AssumeRole', validForm(), key)).toMatchObject({
      status: 403,
      body: { Code: 'NoPermission' },
    });
  });

  it('lets a role session of a trusted account assume the role when its policy allows it', async () => {
    const { identity } = sts.world;
    const runner = identity.addRole({
      accountId: CALLER_ID,
      name: 'runner',
      trusts: [],
      allow: ['sts:AssumeRole'],
    });
    const session = identity.issue(runner, 'fc', 3600);
    expect((await ask(sts, 'AssumeRole', validForm(), session)).status).toBe(200);
  });
});

describe('the signature', () => {
  it.each([
    ['an unknown key', { accessKeyId: 'LTAInone' }, 404, 'InvalidAccessKeyId.NotFound'],
    ['a wrong secret', { accessKeySecret: 'wrong' }, 400, 'SignatureDoesNotMatch'],
  ])('is refused with %s', async (_, change, status, code) => {
    const answer = await ask(sts, 'AssumeRole', validForm(), { ...sts.caller, ...change });
    expect(answer).toMatchObject({ status, body: { Code: code } });
  });

  it('is refused when the session has expired', async () => {
    const { AccessKeyId, AccessKeySecret, SecurityToken } = await assume();
    sts.world.identity.expire(AccessKeyId);
    const key = { accessKeyId: AccessKeyId, accessKeySecret: AccessKeySecret, securityToken: SecurityToken };
    expect(await ask(sts, 'GetCallerIdentity', {}, key)).toMatchObject({
      status: 400,
      body: { Code: 'InvalidSecurityToken.Expired' },
    });
  });
});

describe('GetCallerIdentity', () => {
  it('names the account of an access key', async () => {
    expect((await ask(sts, 'GetCallerIdentity', {})).body).toMatchObject({
      IdentityType: 'Account',
      AccountId: CALLER_ID,
      Arn: `acs:ram::${CALLER_ID}:root`,
    });
  });

  it('names role and session of a session', async () => {
    const { AccessKeyId, AccessKeySecret, SecurityToken } = await assume();
    const key = { accessKeyId: AccessKeyId, accessKeySecret: AccessKeySecret, securityToken: SecurityToken };
    expect((await ask(sts, 'GetCallerIdentity', {}, key)).body).toMatchObject({
      IdentityType: 'AssumedRoleUser',
      AccountId: OWNER_ID,
      Arn: `acs:ram::${OWNER_ID}:assumed-role/tairlift-source/nightly@tairlift`,
    });
  });
});

describe('the certificate', () => {
  it('is for the loopback names, valid now, and signed by itself', () => {
    const certificate = new X509Certificate(sts.certificate.cert);
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.ca).toBe(true);
    expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now());
    expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.now());
  });

  it('is not accepted by a client that was not told to trust it', async () => {
    const untold = { ...sts, certificate: { ...sts.certificate, cert: '' } };
    await expect(ask(untold, 'GetCallerIdentity', {})).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });
});
