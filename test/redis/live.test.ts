/** Backups of real servers while they are written to: pulled, stored, loaded, and compared with what was written. */
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { BackupError } from '../../functions/core/errors.ts';
import { createLog } from '../../functions/core/log.ts';
import type { Manifest } from '../../functions/core/repository/manifest.ts';
import type { RedisServer } from '../../functions/core/redis/server.ts';
import { createServerSource } from '../../functions/core/redis/server-source.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import type { Instance, Source } from '../../functions/core/source/source.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { uploadBackup, type UploadParts } from '../../functions/uploader/upload-backup.ts';
import { createCertificate } from '../../emulator/sts/certificate.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { QUICK } from '../doubles/policies.ts';
import {
  copiesGiven,
  expectOneMoment,
  fill,
  openServers,
  serverAt,
  until,
  writeInto,
  type Servers,
} from './servers.ts';

const { signal } = new AbortController();
const SECRET = 'correct-horse';
const secretOf = (name: string): string | undefined => (name === 'ORDERS_PASSWORD' ? SECRET : undefined);

describe('a backup of live servers', () => {
  let servers: Servers;
  let store: MemoryStore;
  let lines: string[];
  beforeEach(async () => {
    servers = await openServers();
    store = createMemoryStore();
    lines = [];
  });
  afterEach(async () => servers.stop());

  const sourceOf = (server: RedisServer): Source =>
    createServerSource({ servers: [server], secretOf, policy: QUICK, connectTimeoutMs: 5_000 });

  async function instanceOf(source: Source): Promise<Instance> {
    const instance = await source.getInstance('self-managed', 'orders', signal);
    if (instance === undefined) throw new Error('no instance');
    return instance;
  }

  async function backUp(
    server: RedisServer,
    change: Partial<UploadParts> & { readonly source?: Source } = {},
  ): Promise<Manifest> {
    const source = change.source ?? sourceOf(server);
    const instance = await instanceOf(source);
    const begun = await source.startBackup(instance, signal);
    const { region, id, name, engine, engineVersion, architecture, shards } = instance;
    const at = '2026-11-20T18:00:05Z';
    const request: UploadRequest = {
      runId: '20261120T180000Z-nightly',
      plan: 'nightly',
      date: '2026-11-20',
      attempt: 1,
      destination: { region: 'cn-hangzhou', bucket: 'my-backups', prefix: '' },
      instance: { region, id, name, engine, engineVersion, architecture, shards },
      backup: {
        ids: [begun.kind === 'pulled' ? begun.id : ''],
        jobIds: [],
        mode: 'manual',
        startedAt: at,
        endedAt: at,
        adopted: false,
      },
    };
    const log = createLog((line) => void lines.push(line));
    // Nothing is downloaded.
    const http = createLeanHttpClient();
    const parts = { source, store, target: store, http, log, policy: QUICK, ...change };
    return (await uploadBackup(request, parts, signal)).manifest;
  }

  const objectOf = (key: string): Buffer => store.objects.get(key) ?? Buffer.alloc(0);

  it.each([
    ['straight from memory', ['--repl-diskless-sync', 'yes']],
    ['by way of its disk', ['--repl-diskless-sync', 'no']],
  ])('holds one moment of a server that sends %s', async (_how, args) => {
    const live = await servers.start(...args);
    await fill(live);
    const writer = writeInto(live);
    await until(() => writer.written() > 50);

    const manifest = await backUp(serverAt(live));
    await writer.stop();

    expect(manifest).toMatchObject({
      level: 'parsed',
      instance: {
        region: 'self-managed',
        id: 'orders',
        engine: 'Redis',
        architecture: 'standard',
        shards: 1,
      },
      backup: {
        adopted: false,
        ids: [expect.stringMatching(/^orders-/), expect.stringMatching(/^[0-9a-f]{40}:\d+$/)],
      },
    });
    const [file] = manifest.files;
    expect(file).toMatchObject({
      name: 'orders_0_20261120T180005Z.rdb',
      key: 'Backup_orders/2026-11-20/20261120T180000Z-nightly/orders_0_20261120T180005Z.rdb',
      rdb: { verdict: 'sound', keys: 40_003 },
    });
    expect(file?.parts).toBeGreaterThan(1);
    const loaded = await servers.load(objectOf(file?.key ?? ''));
    expect(await loaded.client.dbsize()).toBe(40_003);
    const moment = await expectOneMoment(loaded);
    expect(moment).toBeGreaterThan(50);
    expect(moment).toBeLessThan(writer.written());
    expect(await copiesGiven(live)).toBe(1);
    expect(store.openUploads()).toEqual([]);
  });

  it('of an empty server is a backup too', async () => {
    const manifest = await backUp(serverAt(await servers.start()));

    expect(manifest.files).toEqual([
      expect.objectContaining({ parts: 1, rdb: expect.objectContaining({ keys: 0 }) }),
    ]);
  });

  it('is made of a server that could not save to its disk, and refuses writes for that', async () => {
    const live = await servers.start('--repl-diskless-sync', 'yes', '--save', '3600 1');
    await live.client.set('a', 'b');
    await rm(live.folder, { recursive: true });
    await live.client.bgsave();
    await until(async () => (await live.client.info('persistence')).includes('last_bgsave_status:err'));
    await expect(live.client.ping()).rejects.toThrow(/^MISCONF/);

    expect(await backUp(serverAt(live))).toMatchObject({ level: 'parsed', files: [{ rdb: { keys: 1 } }] });
  });

  it('leaves no replica behind in the memory of a Sentinel', async () => {
    const live = await servers.start('--repl-diskless-sync', 'yes');
    await fill(live, 1000);
    // Microseconds for each key: it is still under way when the Sentinel has looked.
    await live.client.config('SET', 'rdb-key-save-delay', '20000');
    const source = sourceOf(serverAt(live));
    const pull = await source.pull?.(await instanceOf(source), signal);
    const stream = await pull?.shards[0]?.open('orders.rdb', signal);

    expect(await servers.replicasSeenBySentinel(live)).toBe(0);
    expect(await live.client.info('replication')).toContain('connected_slaves:1');

    stream?.close();
  });

  it('is made with an account that may replicate and nothing else', async () => {
    const live = await servers.start();
    await live.client.call(
      'ACL',
      'SETUSER',
      'backup',
      'on',
      `>${SECRET}`,
      '-@all',
      '+psync',
      '+replconf',
      '+ping',
    );
    await live.client.set('a', 'b');
    const account = { username: 'backup', passwordFrom: 'ORDERS_PASSWORD' };

    expect(await backUp(serverAt(live, { ...account, cluster: false }))).toMatchObject({
      level: 'parsed',
      instance: { engineVersion: 'unknown' },
    });
    // Without a word from the server nobody could say that this is all of it.
    await expect(backUp(serverAt(live, account))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      hint: expect.stringContaining('+psync +replconf +ping +info +cluster|nodes') as string,
    });
    for (const line of [...lines, ...[...store.objects.values()].map(String)])
      expect(line).not.toContain(SECRET);
  });

  it('needs no more than what the hint names', async () => {
    const live = await servers.start();
    const may = '+psync +replconf +ping +info +cluster|nodes'.split(' ');
    await live.client.call('ACL', 'SETUSER', 'backup', 'on', `>${SECRET}`, '-@all', ...may);

    expect(
      await backUp(serverAt(live, { username: 'backup', passwordFrom: 'ORDERS_PASSWORD' })),
    ).toMatchObject({ instance: { engineVersion: expect.stringMatching(/^\d+\./) as string } });
  });

  it('says by name that the password is wrong, is missing, or is not set', async () => {
    const live = await servers.start();
    await live.client.config('SET', 'requirepass', 'other');

    await expect(backUp(serverAt(live, { passwordFrom: 'ORDERS_PASSWORD' }))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining('refuses the user name or the password') as string,
    });
    await expect(backUp(serverAt(live))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      hint: expect.stringContaining('passwordFrom') as string,
    });
    await expect(backUp(serverAt(live, { passwordFrom: 'NOT_SET' }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('NOT_SET') as string,
    });
  });

  it('goes over TLS, and only to who shows the right certificate', async () => {
    const certificate = await createCertificate(servers.folder);
    const keyFile = join(servers.folder, 'key.pem');
    await writeFile(keyFile, certificate.key);
    const live = await servers.start(
      '--tls-port',
      '0',
      '--tls-cert-file',
      certificate.certFile,
      '--tls-key-file',
      keyFile,
      '--tls-ca-cert-file',
      certificate.certFile,
      '--tls-auth-clients',
      'no',
    );
    await live.client.set('a', 'b');
    const port = await freeTlsPort(live);
    const url = `rediss://127.0.0.1:${port}`;

    expect(await backUp(serverAt(live, { url, ca: certificate.cert }))).toMatchObject({ level: 'parsed' });
    await expect(backUp(serverAt(live, { url }))).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: false,
      hint: expect.stringContaining('`ca`') as string,
    });
    await expect(backUp(serverAt(live, { url: `redis://127.0.0.1:${port}` }))).rejects.toMatchObject({
      hint: expect.stringContaining('rediss://') as string,
    });
  });

  it('shows a certificate to a server that asks for one', async () => {
    const certificate = await createCertificate(servers.folder);
    const keyFile = join(servers.folder, 'key.pem');
    await writeFile(keyFile, certificate.key);
    const { certFile } = certificate;
    const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', certFile];
    const live = await servers.start(...files);
    const url = `rediss://127.0.0.1:${await freeTlsPort(live)}`;
    const { cert } = certificate;
    const keys = (name: string): string | undefined => (name === 'REDIS_KEY' ? certificate.key : undefined);
    const asks = serverAt(live, { url, ca: cert, cert, keyFrom: 'REDIS_KEY' });
    const source = createServerSource({ servers: [asks], secretOf: keys, policy: QUICK });

    expect(await backUp(asks, { source })).toMatchObject({ level: 'parsed' });
    await expect(backUp(serverAt(live, { url, ca: cert }))).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: false,
      hint: expect.stringContaining('`keyFrom`') as string,
    });
  });

  describe('with a replica', () => {
    const startPair = async (): Promise<Awaited<ReturnType<Servers['start']>>[]> => {
      const primary = await servers.start();
      await fill(primary, 1000);
      const replica = await servers.start('--replicaof', `127.0.0.1 ${primary.port}`);
      await until(async () => (await replica.client.info('replication')).includes('master_link_status:up'));
      await until(async () => (await primary.client.info('replication')).includes('state=online'));
      return [primary, replica];
    };

    it('is taken from there, and the primary is spared', async () => {
      const [primary, replica] = await startPair();
      if (primary === undefined || replica === undefined) throw new Error('no pair');
      const before = await copiesGiven(primary);
      const writer = writeInto(primary);

      const manifest = await backUp(serverAt(primary));
      await writer.stop();

      expect(await copiesGiven(primary)).toBe(before);
      expect(await copiesGiven(replica)).toBe(1);
      const loaded = await servers.load(objectOf(manifest.files[0]?.key ?? ''));
      await expectOneMoment(loaded);
      expect(lines.some((line) => line.includes('"role":"replica"'))).toBe(true);
    });

    it('is taken from the primary where the plan says so', async () => {
      const [primary, replica] = await startPair();
      if (primary === undefined || replica === undefined) throw new Error('no pair');
      const before = await copiesGiven(primary);

      await backUp(serverAt(primary, { preferReplica: false }));

      expect(await copiesGiven(primary)).toBe(before + 1);
      expect(await copiesGiven(replica)).toBe(0);
    });

    it('is taken from the primary when the replica follows another one meanwhile, and says why', async () => {
      const [primary, replica] = await startPair();
      if (primary === undefined || replica === undefined) throw new Error('no pair');
      const source = sourceOf(serverAt(primary));
      const lying: Source = {
        ...source,
        pull: async (instance, within) => {
          const pull = await source.pull?.(instance, within);
          await replica.client.replicaof('NO', 'ONE');
          if (pull === undefined) throw new Error('it pulls');
          return pull;
        },
      };

      const manifest = await backUp(serverAt(primary), { source: lying });

      expect(manifest.level).toBe('parsed');
      expect(
        lines.some((line) => line.includes('a replica was passed over') && line.includes('it is no replica')),
      ).toBe(true);
    });

    it('starts over when the primary is demoted in the middle, and ends in a good copy', async () => {
      const [primary, replica] = await startPair();
      if (primary === undefined || replica === undefined) throw new Error('no pair');
      await fill(primary, 20_000);
      const writer = writeInto(primary);
      // Microseconds for each key.
      await primary.client.config('SET', 'rdb-key-save-delay', '100');
      let isDemoted = false;
      const failOver = async (): Promise<void> => {
        await writer.stop();
        // A replica that has not heard of everything yet would be promoted without it.
        expect(await primary.client.wait(1, 10_000)).toBe(1);
        await primary.client.config('SET', 'rdb-key-save-delay', '0');
        await replica.client.replicaof('NO', 'ONE');
        await primary.client.replicaof('127.0.0.1', replica.port);
      };
      let failingOver: Promise<void> | undefined;
      const policy = { attempts: 100, firstDelayMs: 20, maxDelayMs: 100, totalMs: 30_000 };

      const manifest = await backUp(serverAt(primary, { preferReplica: false }), {
        policy,
        onProgress: () => {
          if (isDemoted) return;
          isDemoted = true;
          failingOver = failOver();
        },
      });
      await failingOver;

      expect(manifest.files[0]?.name).toBe('orders_0_20261120T180005Z_2.rdb');
      const loaded = await servers.load(objectOf(manifest.files[0]?.key ?? ''));
      expect(await loaded.client.dbsize()).toBe(20_003);
      await expectOneMoment(loaded);
      expect(store.openUploads()).toEqual([]);
    });

    it('is refused by a replica that has lost its primary', async () => {
      const [primary, replica] = await startPair();
      if (primary === undefined || replica === undefined) throw new Error('no pair');
      await primary.stop();
      await until(async () => (await replica.client.info('replication')).includes('master_link_status:down'));

      await expect(backUp(serverAt(replica))).rejects.toMatchObject({
        code: 'SOURCE_UNAVAILABLE',
        message: expect.stringContaining('lost its primary') as string,
      });
    });
  });

  describe('of a cluster', () => {
    it('has a file for each primary, with its own slots, each of one moment', async () => {
      const nodes = await servers.startCluster(3);
      // Tags whose slots lie on the first, the second and the third node.
      const tags = ['{b}', '{c}', '{a}'];
      const writers = nodes.map((node, index) => writeInto(node, tags[index]));
      await until(() => writers.every((writer) => writer.written() > 20));

      const manifest = await backUp(serverAt(nodes[1] ?? { port: 0 }));
      await Promise.all(writers.map(async (writer) => writer.stop()));

      expect(manifest.instance).toMatchObject({ architecture: 'cluster', shards: 3 });
      expect(manifest.cluster).toMatchObject({ slots: 'owned', emptyShards: [] });
      expect(manifest.files.map(({ shard }) => shard)).toEqual([0, 1, 2]);
      expect(manifest.backup.ids).toHaveLength(4);
      for (const [index, file] of manifest.files.entries()) {
        const loaded = await servers.load(objectOf(file.key));
        expect(await loaded.client.dbsize()).toBe(3);
        expect(await expectOneMoment(loaded, tags[index])).toBeGreaterThan(20);
      }
      expect(await Promise.all(nodes.map(copiesGiven))).toEqual([1, 1, 1]);
    });

    it('starts over when slots are moved while it is made, and is made once they are', async () => {
      const nodes = await servers.startCluster(2);
      const [first, second] = nodes;
      if (first === undefined || second === undefined) throw new Error('no nodes');
      const to = String(await second.client.call('CLUSTER', 'MYID'));
      let moved = false;
      const source = sourceOf(serverAt(first));
      const moving: Source = {
        ...source,
        pull: async (instance, within) => {
          const pull = await source.pull?.(instance, within);
          if (pull === undefined) throw new Error('it pulls');
          const [one, ...others] = pull.shards;
          if (one === undefined) throw new Error('no shards');
          const confirm = async (): Promise<void> => {
            if (!moved) {
              moved = true;
              for (const node of [second, first]) await node.client.call('CLUSTER', 'SETSLOT', 7, 'NODE', to);
            }
            await pull.confirm(within);
          };
          return { ...pull, shards: [one, ...others], confirm };
        },
      };

      await expect(backUp(serverAt(first), { source: moving })).rejects.toMatchObject({
        code: 'SOURCE_CHANGED',
        retryable: true,
      });
      expect([...store.objects.keys()].filter((key) => key.endsWith('manifest.json'))).toEqual([]);
      await until(async () => String(await first.client.call('CLUSTER', 'NODES')).includes(' 7 8192-'));

      const manifest = await backUp(serverAt(first), { source: moving });

      expect(manifest.files.map(({ name }) => name)).toEqual([
        'orders_0_20261120T180005Z_2.rdb',
        'orders_1_20261120T180005Z_2.rdb',
      ]);
    });

    it('keeps the files of an interrupted attempt as long as the cluster is the same', async () => {
      const nodes = await servers.startCluster(2);
      const [first] = nodes;
      if (first === undefined) throw new Error('no nodes');
      const source = sourceOf(serverAt(first));
      const interrupted: Source = {
        ...source,
        pull: async (instance, within) => {
          const pull = await source.pull?.(instance, within);
          if (pull === undefined) throw new Error('it pulls');
          const [one, two] = pull.shards;
          if (one === undefined || two === undefined) throw new Error('no shards');
          const stop = async (): Promise<never> => {
            throw new BackupError('INTERRUPTED', 'killed here');
          };
          return { ...pull, shards: [one, { ...two, open: stop }] };
        },
      };
      await expect(backUp(serverAt(first), { source: interrupted })).rejects.toMatchObject({
        code: 'INTERRUPTED',
      });

      const manifest = await backUp(serverAt(first));

      expect(manifest.files).toHaveLength(2);
      expect(manifest.backup.ids).toHaveLength(3);
      expect(await Promise.all(nodes.map(copiesGiven))).toEqual([1, 1]);
    });

    it('waits while slots are on their way, and does not begin', async () => {
      const [first, second] = await servers.startCluster(2);
      if (first === undefined || second === undefined) throw new Error('no nodes');
      const from = String(await first.client.call('CLUSTER', 'MYID'));
      await second.client.call('CLUSTER', 'SETSLOT', 7, 'IMPORTING', from);

      expect(await instanceOf(sourceOf(serverAt(second)))).toMatchObject({ status: 'Changing' });
      await expect(backUp(serverAt(first))).rejects.toMatchObject({
        code: 'INSTANCE_NOT_READY',
        retryable: true,
      });

      expect(await copiesGiven(first)).toBe(0);
    });

    it('is not made of one node when the plan says that it is no cluster', async () => {
      const [first] = await servers.startCluster(1);
      if (first === undefined) throw new Error('no nodes');

      await expect(backUp(serverAt(first, { cluster: false }))).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
      await expect(backUp(serverAt(await servers.start(), { cluster: true }))).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    });
  });
});

/** The server is told its TLS port at run time, so that one that is free can be chosen. */
async function freeTlsPort({ client }: Awaited<ReturnType<Servers['start']>>): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
      });
    });
    if ((await client.config('SET', 'tls-port', String(port))) === 'OK') return port;
  }
}
