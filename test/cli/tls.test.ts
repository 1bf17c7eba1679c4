/** A backup with every leg over TLS, as against the real services: certificates are really checked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listen, type Listening } from '../../emulator/http.ts';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { createCertificate } from '../../emulator/sts/certificate.ts';
import { writeRdbFile } from '../bench/rdb-file.ts';
import { runCli } from './run-cli.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const MIB = 1024 * 1024;

describe('over TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-tls-'));
  let emulator: Emulator;
  let open: Listening[] = [];
  let env: Record<string, string>;

  beforeAll(async () => {
    const { path } = await writeRdbFile(join(folder, 'large.rdb'), 18 * MIB);
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: [{ region: REGION, id: 'r-1', rdbFiles: [path] }],
    });
    const certificate = await createCertificate(folder);
    const { world, oss, tair } = emulator;
    open = await Promise.all(
      [oss.service, tair.service, tair.download].map(async (service) =>
        listen(service, world, { tls: certificate }),
      ),
    );
    const [ossAt, tairAt, downloadAt] = open.map(({ port }) => `https://127.0.0.1:${port}`);
    // What the service tells from now on; the plain port stays open and must not be used.
    Object.assign(world.endpoints, { download: downloadAt });
    const plans = join(folder, 'plans.yaml');
    writeFileSync(plans, `plans: { nightly: { targets: [{ region: ${REGION} }] } }\n`);
    env = {
      ...emulator.environment,
      TAIRLIFT_ENDPOINT_OSS: ossAt ?? '',
      TAIRLIFT_ENDPOINT_TAIR: tairAt ?? '',
      TAIRLIFT_BUCKET: BUCKET,
      TAIRLIFT_OSS_REGION: REGION,
      TAIRLIFT_PLANS: plans,
      NODE_EXTRA_CA_CERTS: certificate.certFile,
    };
  });
  afterAll(async () => {
    await Promise.all(open.map(async (one) => one.close()));
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a file of several parts is stored and verified', async () => {
    const backup = await runCli(['backup', '--plan', 'nightly', '--json'], { env });
    expect(JSON.parse(backup.stdout)).toMatchObject({
      status: 'succeeded',
      instances: [{ instanceId: 'r-1', status: 'stored', level: 'parsed' }],
    });
    const verify = await runCli(['verify', '--all', '--json'], { env });
    expect(JSON.parse(verify.stdout)).toMatchObject({ sound: true });
    expect(
      emulator.world.journal.entries({ service: 'download', action: 'Download' }).length,
    ).toBeGreaterThan(2);
  });

  it('a server whose certificate nobody vouches for gets nothing', async () => {
    const { NODE_EXTRA_CA_CERTS: _trusted, ...untrusting } = env;
    const { code, stderr, stdout } = await runCli(['inspect', `oss://${BUCKET}/any.rdb`], {
      env: untrusting,
    });
    expect(stdout).toBe('');
    expect(stderr).toContain('the certificate is not accepted');
    expect(stderr).toContain('NODE_EXTRA_CA_CERTS');
    // Once: what is not trusted now will not be trusted in a minute.
    expect(
      emulator.world.journal.entries({ service: 'oss', action: 'HeadObject', target: `${BUCKET}/any.rdb` }),
    ).toEqual([]);
    expect(code).toBe(1);
  });
});
