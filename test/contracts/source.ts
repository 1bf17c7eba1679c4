/** What every Source promises. Run on the double and on Tair. */
import { toInstant } from '../../functions/core/clock.ts';
import type { Instance, Source, SourceBackup } from '../../functions/core/source/source.ts';

/** A service with these instances in cn-hangzhou, and a hand on what it does. */
export interface SourceStage {
  readonly source: Source;
  /** Milliseconds since 1970, of the service. */
  now(): number;
  /** Backups of the instance stay unfinished until the returned function is called. */
  hold(id: string): () => void;
  failNext(id: string): void;
  setStatus(id: string, status: string): void;
  /** No more manual backups today. */
  exhaustQuota(): void;
  close(): Promise<void>;
}

export const CONTRACT_INSTANCES = [
  { id: 'r-standard', name: 'orders', tags: { backup: 'nightly', team: 'a' } },
  { id: 'r-cluster', architecture: 'cluster', shards: 3, tags: { backup: 'nightly' } },
  { id: 'r-elder', architecture: 'cluster', shards: 3, deployment: 'classic', jobPerShard: true },
  { id: 'r-other', resourceGroupId: 'rg-shop' },
  { id: 'r-single', nodes: 'single' },
] as const;

const REGION = 'cn-hangzhou';

export function testSource(name: string, open: () => Promise<SourceStage>): void {
  describe(`${name} as a source`, () => {
    const { signal } = new AbortController();
    let stage: SourceStage;
    let source: Source;
    beforeEach(async () => {
      stage = await open();
      ({ source } = stage);
    });
    afterEach(async () => stage.close());

    const ids = async (
      query: Omit<Parameters<Source['listInstances']>[0], 'region'>,
    ): Promise<readonly string[]> => {
      const found: string[] = [];
      for await (const { id } of source.listInstances({ region: REGION, ...query }, signal)) found.push(id);
      return found.sort();
    };
    const instance = async (id: string): Promise<Instance> => {
      const found = await source.getInstance(REGION, id, signal);
      if (found === undefined) throw new Error(`no instance ${id}`);
      return found;
    };
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

    it('lists every instance of a region, each once', async () => {
      expect(await ids({})).toEqual(['r-cluster', 'r-elder', 'r-other', 'r-single', 'r-standard']);
      expect(await source.listRegions(signal)).toContain(REGION);
    });

    it('lists by ids, and leaves out those that do not exist', async () => {
      expect(await ids({ ids: ['r-other', 'r-gone', 'r-cluster'] })).toEqual(['r-cluster', 'r-other']);
      expect(await ids({ ids: ['r-gone'] })).toEqual([]);
    });

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
      expect(await instance('r-cluster')).toMatchObject({ architecture: 'cluster', shards: 3 });
      expect(await instance('r-elder')).toMatchObject({ architecture: 'cluster', shards: 3 });
    });

    it('answers undefined for an instance that does not exist', async () => {
      expect(await source.getInstance(REGION, 'r-gone', signal)).toBeUndefined();
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
