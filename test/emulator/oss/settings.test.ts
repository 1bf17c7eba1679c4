/** What a bucket is told to be, by ROS or a test, is told on, and holds. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { listen, type Listening } from '../../../emulator/http.ts';
import { presignV1 } from '../../../emulator/oss/signature/v1.ts';
import { readPolicy } from '../../../emulator/policy.ts';
import { createCertificate, type Certificate } from '../../../emulator/sts/certificate.ts';
import { ACCOUNT_ID, BUCKET, codeOf, failure, raw, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
let certificate: Certificate;
let secure: Listening;
beforeEach(async () => {
  stage = await startOss();
  certificate = await createCertificate(stage.world.folder);
  secure = await listen(stage.oss.service, stage.world, { tls: certificate });
});
afterEach(async () => {
  await secure.close();
  await stage.stop();
});

const setting = async (name: string) => raw(stage, 'GET', `/${BUCKET}/`, { query: { [name]: '' } });

it('a bucket without settings says so', async () => {
  expect(codeOf(await setting('encryption'))).toBe('NoSuchServerSideEncryptionRule');
  expect(codeOf(await setting('policy'))).toBe('NoSuchBucketPolicy');
  expect((await setting('overwriteConfig')).status).toBe(404);
  expect((await setting('publicAccessBlock')).body).toContain('<BlockPublicAccess>false</BlockPublicAccess>');
});

it('a bucket with settings tells them', async () => {
  await stage.oss.configure(BUCKET, {
    encryption: { algorithm: 'KMS', keyId: 'key-1' },
    blocksPublicAccess: true,
    overwriteRules: [{ id: 'backups', prefix: 'prod/' }],
    lifecycle: [
      { id: 'cool', prefix: 'prod/', isEnabled: true, transitions: [{ days: 30, storageClass: 'IA' }] },
    ],
  });
  expect((await setting('encryption')).body).toContain(
    '<SSEAlgorithm>KMS</SSEAlgorithm><KMSMasterKeyID>key-1</KMSMasterKeyID>',
  );
  expect((await setting('publicAccessBlock')).body).toContain('<BlockPublicAccess>true</BlockPublicAccess>');
  expect((await setting('overwriteConfig')).body).toContain(
    '<Rule><ID>backups</ID><Action>forbid</Action><Prefix>prod/</Prefix></Rule>',
  );
  expect((await setting('lifecycle')).body).toContain(
    '<Transition><Days>30</Days><StorageClass>IA</StorageClass></Transition>',
  );
});

it('objects are encrypted as the bucket has it, unless they come with a wish of their own', async () => {
  await stage.oss.configure(BUCKET, { encryption: { algorithm: 'AES256' } });
  const client = stage.client();
  await client.put('plain', Buffer.from('x'));
  await client.put('own', Buffer.from('x'), { headers: { 'x-oss-server-side-encryption': 'KMS' } });

  const encryptionOf = async (key: string) =>
    ((await client.head(key)).res.headers as Record<string, string>)['x-oss-server-side-encryption'];
  expect(await encryptionOf('plain')).toBe('AES256');
  expect(await encryptionOf('own')).toBe('KMS');
});

it('a rule forbids to replace what lies under its prefix, and nothing else', async () => {
  await stage.oss.configure(BUCKET, { overwriteRules: [{ prefix: 'prod/' }] });
  const client = stage.client();
  for (const key of ['prod/a', 'test/a']) await client.put(key, Buffer.from('first'));
  await client.put('test/a', Buffer.from('second'));

  expect(await failure(client.put('prod/a', Buffer.from('second')))).toMatchObject({
    code: 'FileAlreadyExists',
    status: 409,
  });
  expect(await failure(client.copy('prod/a', 'test/a'))).toMatchObject({ code: 'FileAlreadyExists' });
  expect((await stage.oss.read(BUCKET, 'prod/a')).toString()).toBe('first');
});

it('a policy that wants TLS denies everything without it, to the owner too', async () => {
  await stage.oss.configure(BUCKET, { policy: tlsOnly() });

  expect(await failure(stage.client().put('key', Buffer.from('x')))).toMatchObject({
    code: 'AccessDenied',
    ecCode: '0003-00000201',
  });
  expect(await putSecurely('key')).toBe(200);
});

it('settings are there again after a restart', async () => {
  await stage.oss.configure(BUCKET, { policy: tlsOnly(), blocksPublicAccess: true });
  await stage.oss.stop();
  const { world } = stage;
  const again = JSON.parse(readFileSync(`${world.folder}/oss/${BUCKET}/bucket.json`, 'utf8')) as object;
  expect(again).toMatchObject({ policy: tlsOnly(), blocksPublicAccess: true, accountId: ACCOUNT_ID });
});

const tlsOnly = () =>
  readPolicy(
    {
      Version: '1',
      Statement: [
        {
          Effect: 'Deny',
          Action: 'oss:*',
          Principal: ['*'],
          Resource: [`acs:oss:*:*:${BUCKET}`, `acs:oss:*:*:${BUCKET}/*`],
          Condition: { Bool: { 'acs:SecureTransport': 'false' } },
        },
      ],
    },
    'bucket',
  );

async function putSecurely(key: string): Promise<number | undefined> {
  const resource = `/${BUCKET}/${key}`;
  const signed = presignV1(stage.key, { method: 'PUT', resource }, Date.now() + 60_000);
  return new Promise((resolve, reject) => {
    request(
      `https://127.0.0.1:${secure.port}${resource}?${signed.toString()}`,
      { method: 'PUT', ca: certificate.cert },
      (response) => resolve(response.resume().statusCode),
    )
      .once('error', reject)
      .end('x');
  });
}
