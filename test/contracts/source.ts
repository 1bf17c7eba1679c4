/** What every Source promises. Run on the double, on Tair, and on servers of one's own. */
import { toInstant } from '../../functions/core/clock.ts';
import type { Instance, Pull, Source, SourceBackup } from '../../functions/core/source/source.ts';

/** A source of which this much is known beforehand. */
export interface SourceStage {
  readonly source: Source;
  readonly region: string;
  /** All of its instances. */
  readonly instances: readonly StagedInstance[];
  /** Milliseconds since 1970, of the service. */
  now(): number;
  close(): Promise<void>;
}

export interface StagedInstance {
  readonly id: string;
  readonly architecture?: 'cluster' | undefined;
  readonly shards?: number | undefined;
  /** Why it can have no backup. */
  readonly noBackup?: boolean;
}

/** One with backups that are made by the service, and a hand on what it does. It holds CONTRACT_INSTANCES. */
export interface ServiceStage extends SourceStage {
  /** Backups of the instance stay unfinished until the returned function is called. */
  hold(id: string): () => void;
  failNext(id: string): void;
  setStatus(id: string, status: string): void;
  /** No more manual backups today. */
  exhaustQuota(): void;
}

/** One whose backups are pulled. */
export interface PullStage extends SourceStage {
  /** Something changes who holds which keys of that instance. */
  disturb(id: string): Promise<void>;
}

export const CONTRACT_INSTANCES = [
  { id: 'r-standard', name: 'orders', tags: { backup: 'nightly', team: 'a' } },
  { id: 'r-cluster', architecture: 'cluster', shards: 3, tags: { backup: 'nightly' } },
  { id: 'r-elder', architecture: 'cluster', shards: 3, deployment: 'classic', jobPerShard: true },
  { id: 'r-other', resourceGroupId: 'rg-shop' },
  { id: 'r-single', nodes: 'single' },
] as const;

export const STAGED: readonly StagedInstance[] = CONTRACT_INSTANCES.map((spec) => ({
  id: spec.id,
  ...('architecture' in spec ? { architecture: spec.architecture, shards: spec.shards } : {}),
  ...('nodes' in spec ? { noBackup: true } : {}),
}));

export const REGION = 'cn-hangzhou';

const { signal } = new AbortController();

async function idsOf(
  source: Source,
  query: Parameters<Source['listInstances']>[0],
): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { id } of source.listInstances(query, signal)) found.push(id);
  return found.sort();
}

async function instanceOf({ source, region }: SourceStage, id: string): Promise<Instance> {
  const found = await source.getInstance(region, id, signal);
  if (found === undefined) throw new Error(`no instance ${id}`);
  return found;
}

/** What holds of all sources. */
function testAnySource(open: () => SourceStage): void {
  let stage: SourceStage;
  let source: Source;
  beforeEach(() => {
    stage = open();
    ({ source } = stage);
  });

  const all = (): readonly string[] => stage.instances.map(({ id }) => id).sort();

  it('lists every instance of a region, each once', async () => {
    expect(await idsOf(source, { region: stage.region })).toEqual(all());
    expect(await source.listRegions(signal)).toContain(stage.region);
  });

  it('lists by ids, and leaves out those that do not exist', async () => {
    const [first = ''] = all();
    expect(await idsOf(source, { region: stage.region, ids: [first, 'r-gone'] })).toEqual([first]);
    expect(await idsOf(source, { region: stage.region, ids: ['r-gone'] })).toEqual([]);
  });

  it('lists none where none carries a tag', async () => {
    expect(await idsOf(source, { region: stage.region, tags: { backup: 'weekly' } })).toEqual([]);
  });

  it('describes each instance, with its number of shards, in a list as by itself', async () => {
    for (const { id, architecture = 'standard', shards = 1 } of stage.instances) {
      const instance = await instanceOf(stage, id);
      expect(instance).toMatchObject({ region: stage.region, id, architecture, shards, status: 'Normal' });
      expect(instance.engine).not.toBe('');
      expect(instance.engineVersion).toMatch(/^\d+\./);
      for await (const listed of source.listInstances({ region: stage.region, ids: [id] }, signal))
        expect(listed).toEqual(instance);
    }
  });

  it('answers undefined for an instance that does not exist', async () => {
    expect(await source.getInstance(stage.region, 'r-gone', signal)).toBeUndefined();
  });

  it('lists no backups and no running jobs where none was ever asked for', async () => {
    const span = { from: toInstant(stage.now() - 3600_000), to: toInstant(stage.now() + 60_000) };
    for (const { id } of stage.instances) {
      const instance = await instanceOf(stage, id);
      expect(await source.listBackups(instance, span, signal)).toEqual([]);
      expect((await source.listJobs(instance, signal)).filter(({ state }) => state === 'running')).toEqual(
        [],
      );
    }
  });

  it('says by name that an instance is gone when a backup of it is asked for', async () => {
    const instance = await instanceOf(stage, all()[0] ?? '');
    await expect(source.startBackup({ ...instance, id: 'r-gone' }, signal)).rejects.toMatchObject({
      code: 'INSTANCE_NOT_FOUND',
    });
  });

  it('has its backups made either by the service or by pulling, and says so', async () => {
    for (const { id, noBackup } of stage.instances) {
      if (noBackup === true) continue;
      const begun = await source.startBackup(await instanceOf(stage, id), signal);
      expect(begun.kind).toBe(source.pull === undefined ? 'started' : 'pulled');
    }
  });
}

/** Of a source whose backups are pulled: nothing is kept there, and each reading is another snapshot. */
export function testPulledSource(name: string, open: () => Promise<PullStage>): void {
  describe(`${name} as a source`, () => {
    let stage: PullStage;
    // Nothing is left behind at such a source, so one is enough for all tests but the last.
    beforeAll(async () => (stage = await open()));
    afterAll(async () => stage.close());

    testAnySource(() => stage);

    const pull = async (id: string): Promise<Pull> => {
      const prepared = await stage.source.pull?.(await instanceOf(stage, id), signal);
      if (prepared === undefined) throw new Error('it does not pull');
      return prepared;
    };

    it('has nothing in the regions of others', async () => {
      expect(await idsOf(stage.source, { region: REGION })).toEqual([]);
      expect(await stage.source.getInstance(REGION, stage.instances[0]?.id ?? '', signal)).toBeUndefined();
    });

    it('gives each backup an id of its own', async () => {
      const [first] = stage.instances;
      const instance = await instanceOf(stage, first?.id ?? '');
      const ids = [
        await stage.source.startBackup(instance, signal),
        await stage.source.startBackup(instance, signal),
      ];
      expect(new Set(ids.map((begun) => (begun.kind === 'pulled' ? begun.id : ''))).size).toBe(2);
    });

    it('has a stream for each shard, which is read to its end, and is a whole', async () => {
      for (const { id, shards = 1 } of stage.instances) {
        const prepared = await pull(id);
        expect(prepared.shards.map(({ shard }) => shard)).toEqual(
          Array.from({ length: shards }, (_, shard) => shard),
        );
        expect(new Set(prepared.shards.map(({ node }) => node)).size).toBe(shards);
        for (const shard of prepared.shards) {
          const stream = await shard.open(`${shard.shard}.rdb`, signal);
          const into = Buffer.alloc(1024 * 1024);
          const bytes = await stream.read(into, signal);
          expect(await stream.read(into.subarray(bytes), signal)).toBe(0);
          expect(into.toString('latin1', 0, 5)).toMatch(/^(REDIS|VALKE)$/);
          expect(into[bytes - 9]).toBe(0xff);
          expect(stream.id).not.toBe('');
          stream.close();
        }
        await prepared.confirm(signal);
      }
    });

    it('is looked at in the same way twice, and not confirmed once it has changed', async () => {
      const cluster = stage.instances.find(({ architecture }) => architecture === 'cluster')?.id ?? '';
      const before = await pull(cluster);
      expect((await pull(cluster)).layout).toBe(before.layout);

      await stage.disturb(cluster);

      await expect(before.confirm(signal)).rejects.toMatchObject({ code: 'SOURCE_CHANGED', retryable: true });
      expect((await pull(cluster)).layout).not.toBe(before.layout);
    });
  });
}

/** Of a source whose service makes and keeps the backups. */
export function testSource(name: string, open: () => Promise<ServiceStage>): void {
  describe(`${name} as a source`, () => {
    let stage: ServiceStage;
    let source: Source;
    beforeEach(async () => {
      stage = await open();
      ({ source } = stage);
    });
    afterEach(async () => stage.close());

    testAnySource(() => stage);

    const ids = async (
      query: Omit<Parameters<Source['listInstances']>[0], 'region'>,
    ): Promise<readonly string[]> => idsOf(source, { region: REGION, ...query });
    const instance = async (id: string): Promise<Instance> => instanceOf(stage, id);
    const backupsOf = async (of: Instance): Promise<readonly SourceBackup[]> =>
      source.listBackups(
        of,
        { from: toInstant(stage.now() - 3600_000), to: toInstant(stage.now() + 60_000) },
        signal,
      );
    const finished = async (of: Instance): Promise<SourceBackup> => {
      for (;;) {
        const [newest] = await backupsOf(of);
        if (newest !== undefined && newest.state !== 'running') return newest;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };

    it('lists those that carry all of the tags', async () => {
      expect(await ids({ tags: { backup: 'nightly' } })).toEqual(['r-cluster', 'r-standard']);
      expect(await ids({ tags: { backup: 'nightly', team: 'a' } })).toEqual(['r-standard']);
      expect(await ids({ tags: { backup: 'weekly' } })).toEqual([]);
    });

    it('lists those of a resource group', async () => {
      expect(await ids({ resourceGroup: 'rg-shop' })).toEqual(['r-other']);
      expect(await ids({ resourceGroup: 'rg-shop', tags: { backup: 'nightly' } })).toEqual([]);
      expect((await instance('r-other')).resourceGroup).toBe('rg-shop');
    });

    it('describes an instance, with its number of shards', async () => {
      expect(await instance('r-standard')).toMatchObject({
        region: REGION,
        name: 'orders',
        engineVersion: '7.0',
        architecture: 'standard',
        shards: 1,
        status: 'Normal',
        tags: { backup: 'nightly', team: 'a' },
      });
    });

    it('says of an instance without backups why', async () => {
      expect((await instance('r-single')).noBackup).toContain('single-node');
      expect((await instance('r-standard')).noBackup).toBeUndefined();
    });

    it.each([
      ['a standard instance', 'r-standard', 1],
      ['a cluster', 'r-cluster', 3],
      ['a cluster with one job for each shard', 'r-elder', 3],
    ])('starts a backup of %s, which ends with a file for each shard', async (_what, id, shards) => {
      const of = await instance(id);

      const started = await source.startBackup(of, signal);
      const backup = await finished(of);

      if (started.kind !== 'started') throw new Error(`not started but ${started.kind}`);
      expect(backup).toMatchObject({ mode: 'manual', state: 'succeeded' });
      expect([...backup.jobIds].sort()).toEqual([...started.jobIds].sort());
      expect(backup.files.map((file) => file.shard)).toEqual(
        Array.from({ length: shards }, (_, shard) => shard),
      );
      expect(new Set(backup.files.map((file) => file.name)).size).toBe(shards);
      expect(backup.files.every((file) => file.url?.startsWith('http') === true)).toBe(true);
      expect(Math.abs(Date.parse(backup.startedAt) - stage.now())).toBeLessThan(60_000);
      expect(backup.ids.length).toBeGreaterThan(0);
    });

    it('refuses a second backup while one is running, and shows its job', async () => {
      const release = stage.hold('r-standard');
      const of = await instance('r-standard');
      const started = await source.startBackup(of, signal);

      expect(await source.startBackup(of, signal)).toEqual({ kind: 'already-running' });
      expect(await source.listJobs(of, signal)).toEqual([
        expect.objectContaining({
          id: started.kind === 'started' ? started.jobIds[0] : '',
          state: 'running',
          mode: 'manual',
        }),
      ]);

      release();
      await finished(of);
    });

    it('never lists a running backup as succeeded', async () => {
      const release = stage.hold('r-cluster');
      const of = await instance('r-cluster');
      await source.startBackup(of, signal);

      expect((await backupsOf(of)).map((backup) => backup.state)).not.toContain('succeeded');

      release();
      expect((await finished(of)).state).toBe('succeeded');
    });

    it.each(['r-standard', 'r-cluster', 'r-elder'])(
      'lists a backup of %s that failed as failed',
      async (id) => {
        stage.failNext(id);
        const of = await instance(id);

        await source.startBackup(of, signal);

        expect((await finished(of)).state).toBe('failed');
      },
    );

    it('lists only backups that started within the span, newest first', async () => {
      const of = await instance('r-standard');
      const before = stage.now();
      await source.startBackup(of, signal);
      await finished(of);

      const earlier = { from: toInstant(before - 3600_000), to: toInstant(before - 1_000) };
      expect(await source.listBackups(of, earlier, signal)).toEqual([]);
      const later = { from: toInstant(stage.now() + 60_000), to: toInstant(stage.now() + 3600_000) };
      expect(await source.listBackups(of, later, signal)).toEqual([]);
      expect(
        await source.listBackups(await instance('r-other'), { from: earlier.from, to: later.to }, signal),
      ).toEqual([]);
    });

    it('refuses by name when the instance is gone, not ready, or has had its backups of the day', async () => {
      const of = await instance('r-standard');

      await expect(source.startBackup({ ...of, id: 'r-gone' }, signal)).rejects.toMatchObject({
        code: 'INSTANCE_NOT_FOUND',
      });
      stage.setStatus('r-standard', 'Changing');
      await expect(source.startBackup(of, signal)).rejects.toMatchObject({
        code: 'INSTANCE_NOT_READY',
        retryable: true,
      });
      stage.setStatus('r-standard', 'Normal');
      stage.exhaustQuota();
      await expect(source.startBackup(of, signal)).rejects.toMatchObject({
        code: 'BACKUP_QUOTA',
        retryable: false,
      });
    });
  });
}
