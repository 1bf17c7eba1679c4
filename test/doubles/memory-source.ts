/** Tair in memory, on a clock: instances, backups that take their time, and what can go wrong with them. */
import type { Clock } from '../../functions/core/clock.ts';
import { toInstant } from '../../functions/core/clock.ts';
import { BackupError } from '../../functions/core/errors.ts';
import type {
  BackupJob,
  BackupMode,
  Instance,
  Source,
  SourceBackup,
  StartResult,
} from '../../functions/core/source/source.ts';

export interface MemoryBackup {
  readonly instanceId: string;
  readonly id: string;
  readonly jobIds: readonly string[];
  readonly mode: BackupMode;
  readonly startedAtMs: number;
  /** Files are there, and the job is finished, from then on; Infinity while it is held. */
  endsAtMs: number;
  readonly shards: number;
  fails: boolean;
  /** In no list at all. */
  isGone: boolean;
  /** Of these shards no row is listed. */
  missingShards: readonly number[];
  hasUrls: boolean;
  /** Rows and files appear this much after the job has finished. */
  lagMs: number;
  jobIsListed: boolean;
  tellsJobIds: boolean;
}

export interface MemorySource extends Source {
  readonly backups: MemoryBackup[];
  /** How often a backup was asked for, refusals included, by instance id. */
  startsOf(id: string): number;
  put(instance: Partial<Instance> & { readonly id: string }): void;
  remove(id: string): void;
  /** Adds a backup that somebody else made or is making. */
  plant(
    backup: Partial<MemoryBackup> & { readonly instanceId: string; readonly startedAtMs: number },
  ): MemoryBackup;
  /** What the next backups of any instance will be like. */
  next(changes: Partial<MemoryBackup>): void;
  /** Answers instead of the service, or undefined to let the service answer; called for each request. */
  onStart: (instance: Instance, accept: () => MemoryBackup) => StartResult | undefined;
  /** May throw, for any other request; of a list, the ids are those that it was asked for. */
  onAsk: (action: 'listInstances' | 'getInstance' | 'listJobs' | 'listBackups', id: string) => void;
  durationMs: number;
  perDay: number;
}

const DAY_MS = 24 * 3600_000;

export function createMemorySource(
  clock: Clock,
  instances: readonly (Partial<Instance> & { readonly id: string })[],
): MemorySource {
  const byId = new Map<string, Instance>();
  const starts = new Map<string, number>();
  let changes: Partial<MemoryBackup> = {};
  let lastId = 1000;

  const source: MemorySource = {
    backups: [],
    durationMs: 30_000,
    perDay: 30,
    onStart: () => undefined,
    onAsk: () => undefined,
    startsOf: (id) => starts.get(id) ?? 0,
    next: (wanted) => {
      changes = wanted;
    },
    put: (given) => void byId.set(given.id, { ...PLAIN, name: given.id, ...given }),
    remove: (id) => void byId.delete(id),
    plant,
    listRegions: async () => [...new Set([...byId.values()].map(({ region }) => region))],
    listInstances: async function* ({ region, ids, tags = {}, resourceGroup }) {
      source.onAsk('listInstances', ids?.join() ?? '');
      for (const instance of byId.values()) {
        if (instance.region !== region || (ids !== undefined && !ids.includes(instance.id))) continue;
        if (resourceGroup !== undefined && instance.resourceGroup !== resourceGroup) continue;
        if (Object.entries(tags).every(([key, value]) => instance.tags[key] === value)) yield instance;
      }
    },
    getInstance: async (region, id) => {
      source.onAsk('getInstance', id);
      const instance = byId.get(id);
      return instance?.region === region ? instance : undefined;
    },
    startBackup: async (instance) => {
      starts.set(instance.id, source.startsOf(instance.id) + 1);
      const accept = (): MemoryBackup =>
        plant({
          instanceId: instance.id,
          startedAtMs: clock.now(),
          mode: 'manual',
          shards: instance.shards,
          ...changes,
        });
      return source.onStart(instance, accept) ?? start(instance, accept);
    },
    listJobs: async ({ id }) => {
      source.onAsk('listJobs', id);
      return ofInstance(id)
        .filter((backup) => backup.jobIsListed && !backup.isGone)
        .flatMap(toJobs);
    },
    listBackups: async ({ id }, { from, to }) => {
      source.onAsk('listBackups', id);
      return ofInstance(id)
        .filter((backup) => !backup.isGone && clock.now() >= backup.endsAtMs + backup.lagMs)
        .filter((backup) => within(toInstant(backup.startedAtMs), from, to))
        .sort((a, b) => b.startedAtMs - a.startedAtMs)
        .map(toListed);
    },
  };

  function plant(
    given: Partial<MemoryBackup> & { readonly instanceId: string; readonly startedAtMs: number },
  ): MemoryBackup {
    const shards = given.shards ?? byId.get(given.instanceId)?.shards ?? 1;
    const id = String(++lastId);
    const backup: MemoryBackup = {
      id,
      jobIds: [`${id}1`],
      mode: 'automated',
      endsAtMs: given.startedAtMs + source.durationMs,
      fails: false,
      isGone: false,
      missingShards: [],
      hasUrls: true,
      lagMs: 0,
      jobIsListed: true,
      tellsJobIds: true,
      ...given,
      shards,
    };
    source.backups.push(backup);
    return backup;
  }

  function start({ id }: Instance, accept: () => MemoryBackup): StartResult {
    const instance = byId.get(id);
    if (instance === undefined)
      throw new BackupError('INSTANCE_NOT_FOUND', `start a backup of ${id}: no such instance`);
    if (instance.status !== 'Normal')
      throw new BackupError('INSTANCE_NOT_READY', `start a backup of ${id}: it is ${instance.status}`, {
        retryable: true,
      });
    if (ofInstance(id).some((backup) => clock.now() < backup.endsAtMs && !backup.isGone))
      return { kind: 'already-running' };
    const today = ofInstance(id).filter(
      ({ mode, startedAtMs }) => mode === 'manual' && clock.now() - startedAtMs < DAY_MS,
    );
    if (today.length >= source.perDay)
      throw new BackupError('BACKUP_QUOTA', `start a backup of ${id}: ${today.length} today`);
    return { kind: 'started', jobIds: accept().jobIds };
  }

  function ofInstance(id: string): readonly MemoryBackup[] {
    return source.backups.filter(({ instanceId }) => instanceId === id);
  }

  function toJobs(backup: MemoryBackup): readonly BackupJob[] {
    const state = clock.now() >= backup.endsAtMs ? 'finished' : 'running';
    return backup.jobIds.map((id) => ({
      id,
      state,
      mode: backup.mode,
      startedAt: toInstant(backup.startedAtMs),
    }));
  }

  for (const instance of instances) source.put(instance);
  return source;
}

function toListed(backup: MemoryBackup): SourceBackup {
  const shards = Array.from({ length: backup.shards }, (_, shard) => shard).filter(
    (shard) => !backup.missingShards.includes(shard),
  );
  return {
    ids: [backup.id],
    jobIds: backup.tellsJobIds ? backup.jobIds : [],
    mode: backup.mode,
    state: backup.fails ? 'failed' : 'succeeded',
    startedAt: toInstant(backup.startedAtMs),
    endedAt: toInstant(backup.endsAtMs),
    files: shards.map((shard) => ({
      shard,
      node: `${backup.instanceId}-db-${shard}`,
      name: `hins${shard}_data_${backup.id}.rdb`,
      announcedBytes: 1024,
      ...(backup.hasUrls ? { url: `https://backups.example/${backup.id}/${shard}?Signature=s` } : {}),
    })),
  };
}

function within(instant: string, from: string, to: string): boolean {
  return Date.parse(instant) >= Date.parse(from) && Date.parse(instant) < Date.parse(to);
}

const PLAIN: Omit<Instance, 'id' | 'name'> = {
  region: 'cn-hangzhou',
  engine: 'Redis',
  engineVersion: '7.0',
  architecture: 'standard',
  shards: 1,
  status: 'Normal',
  tags: {},
};
