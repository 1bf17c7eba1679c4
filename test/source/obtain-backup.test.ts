import { BackupError } from '../../functions/core/errors.ts';
import { createLog, silentLog, type Log } from '../../functions/core/log.ts';
import {
  obtainBackup,
  type ObtainedBackup,
  type ObtainOptions,
  type Turn,
} from '../../functions/core/source/obtain-backup.ts';
import type { Instance, Source } from '../../functions/core/source/source.ts';
import { createMemoryRecords, type MemoryRecords } from '../doubles/memory-records.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createVirtualClock, type VirtualClock } from '../doubles/virtual-clock.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const { signal } = new AbortController();

let clock: VirtualClock;
let source: MemorySource;
let records: MemoryRecords;
let startedAt: number;

beforeEach(() => {
  clock = createVirtualClock();
  startedAt = clock.now();
  source = createMemorySource(clock, [
    { id: 'r-one' },
    { id: 'r-cluster', architecture: 'cluster', shards: 3 },
  ]);
  records = createMemoryRecords();
});

async function obtain(
  id = 'r-one',
  options: Partial<ObtainOptions> = {},
  stop: AbortSignal = signal,
  log: Log = silentLog,
): Promise<ObtainedBackup> {
  const instance = await source.getInstance('cn-hangzhou', id, signal);
  return obtainBackup(
    instance as Instance, // put there above
    { adoptWithinMs: 0, timeoutMs: 6 * HOUR, ...options },
    { source, records, clock, log },
    stop,
  );
}

const elapsed = (): number => clock.now() - startedAt;

describe('a backup that goes well', () => {
  it('is started once and waited for', async () => {
    source.durationMs = 40 * MINUTE;

    const backup = await obtain();

    expect(backup).toEqual({
      ids: [source.backups[0]?.id],
      jobIds: source.backups[0]?.jobIds,
      mode: 'manual',
      startedAt: '2026-11-20T18:00:00Z',
      endedAt: '2026-11-20T18:40:00Z',
      adopted: false,
      shards: 1,
    });
    expect(source.startsOf('r-one')).toBe(1);
  });

  it('is asked for rarely the longer it takes', async () => {
    let asked = 0;
    source.onAsk = () => void asked++;
    source.durationMs = 5 * HOUR;

    await obtain();

    expect(asked).toBeLessThan(400);
    expect(elapsed()).toBeLessThan(5 * HOUR + 3 * MINUTE);
  });

  it('is noticed within seconds when it is small', async () => {
    source.durationMs = 3_000;

    await obtain();

    expect(elapsed()).toBeLessThan(10_000);
  });

  it('of a cluster with one job for each shard needs all of them', async () => {
    source.next({ jobIds: ['71', '72', '73'] });

    const backup = await obtain('r-cluster');

    expect(backup.jobIds).toEqual(['71', '72', '73']);
    expect(backup.shards).toBe(3);
  });

  it('is found by mode and time where the service does not tell its jobs', async () => {
    source.next({ tellsJobIds: false });
    source.plant({
      instanceId: 'r-cluster',
      startedAtMs: clock.now() - HOUR,
      mode: 'manual',
      tellsJobIds: false,
    });

    const backup = await obtain('r-cluster');

    expect(backup.ids).toEqual([source.backups[1]?.id]);
  });

  it.each([-20 * MINUTE, 3 * HOUR])(
    "is recognised by its job when the service's clock is off by %d ms",
    async (off) => {
      source.onStart = ({ id }) => ({
        kind: 'started',
        jobIds: source.plant({
          instanceId: id,
          mode: 'manual',
          startedAtMs: clock.now() + off,
          endsAtMs: clock.now(),
        }).jobIds,
      });

      await expect(obtain()).resolves.toMatchObject({ adopted: false });
    },
  );

  it('may appear in the list minutes after its job has finished', async () => {
    source.next({ lagMs: 8 * MINUTE });

    await expect(obtain()).resolves.toMatchObject({ adopted: false });
  });
});

describe('a backup that comes to nothing', () => {
  it('fails at once when the service lists it as failed', async () => {
    source.next({ fails: true });

    await expect(obtain()).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('r-one') as string,
    });
    expect(elapsed()).toBeLessThan(2 * MINUTE);
    expect(source.startsOf('r-one')).toBe(1);
  });

  it('fails after a grace period when its job vanishes without a trace', async () => {
    source.next({ isGone: true });

    await expect(obtain()).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('not listed any more') as string,
    });
    expect(elapsed()).toBeLessThan(20 * MINUTE);
  });

  it('fails when its job has finished and no files ever appear', async () => {
    source.next({ lagMs: Infinity });

    await expect(obtain()).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
  });

  it('fails when a shard is missing, naming how many there are', async () => {
    source.next({ missingShards: [1] });

    await expect(obtain('r-cluster')).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('files of 2 shards, the instance has 3') as string,
    });
  });

  it('fails when one of its jobs left no backup', async () => {
    source.onStart = (_instance, accept) => ({ kind: 'started', jobIds: [...accept().jobIds, '99'] });

    await expect(obtain('r-cluster')).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('99') as string,
    });
  });

  it('fails by its own name when no file can be downloaded', async () => {
    source.next({ hasUrls: false });

    await expect(obtain()).rejects.toMatchObject({ code: 'NO_DOWNLOAD_URL' });
  });

  it('times out when it does not finish within the limit', async () => {
    source.next({ endsAtMs: Infinity });

    await expect(obtain('r-one', { timeoutMs: 2 * HOUR })).rejects.toMatchObject({ code: 'BACKUP_TIMEOUT' });
    expect(elapsed()).toBe(2 * HOUR);
  });

  it('is waited for through passing trouble, and the time-out names the trouble', async () => {
    source.onAsk = (action) => {
      if (action === 'listBackups')
        throw new BackupError('SERVICE_ERROR', 'list backups: 503', { retryable: true });
    };

    const failure = await obtain('r-one', { timeoutMs: HOUR }).catch(
      (error: unknown) => error as BackupError,
    );

    expect(failure).toMatchObject({ code: 'BACKUP_TIMEOUT', cause: { message: 'list backups: 503' } });
  });
});

describe('a conflict', () => {
  it('adopts the backup that is running', async () => {
    const theirs = source.plant({
      instanceId: 'r-one',
      startedAtMs: clock.now() - 5 * MINUTE,
      endsAtMs: clock.now() + 5 * MINUTE,
    });

    const backup = await obtain();

    expect(backup).toMatchObject({ ids: [theirs.id], mode: 'automated', adopted: true });
    expect(source.backups).toHaveLength(1);
  });

  it('adopts the backup that was running also when it has ended a moment later', async () => {
    const theirs = source.plant({
      instanceId: 'r-one',
      startedAtMs: clock.now() - 5 * MINUTE,
      endsAtMs: clock.now() + 1,
    });
    source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - 20 * MINUTE });
    source.onStart = () => {
      theirs.endsAtMs = clock.now();
      return { kind: 'already-running' };
    };

    const backup = await obtain();

    expect(backup).toMatchObject({ ids: [theirs.id], adopted: true });
    expect(source.startsOf('r-one')).toBe(1);
    expect(elapsed()).toBeLessThan(MINUTE);
  });

  it('waits for a running backup that is too old, then makes its own', async () => {
    source.plant({
      instanceId: 'r-one',
      startedAtMs: clock.now() - 3 * HOUR,
      endsAtMs: clock.now() + 30 * MINUTE,
    });

    const backup = await obtain();

    expect(backup).toMatchObject({ ids: [source.backups[1]?.id], adopted: false });
  });

  it('makes its own when the adopted one fails', async () => {
    source.plant({
      instanceId: 'r-one',
      startedAtMs: clock.now() - MINUTE,
      endsAtMs: clock.now() + MINUTE,
      fails: true,
    });

    const backup = await obtain();

    expect(backup).toMatchObject({ ids: [source.backups[1]?.id], adopted: false });
  });
});

describe('an answer that is lost', () => {
  it('never starts a second backup when the first has started', async () => {
    source.onStart = (_instance, accept) => {
      accept();
      return { kind: 'unknown', reason: 'ECONNRESET' };
    };

    const backup = await obtain();

    expect(source.startsOf('r-one')).toBe(1);
    expect(backup).toMatchObject({ ids: [source.backups[0]?.id], adopted: false });
  });

  it('is asked for again only after minutes in which no backup showed up', async () => {
    const asked: number[] = [];
    source.onStart = () => {
      asked.push(elapsed());
      return asked.length === 1 ? { kind: 'unknown', reason: 'timeout' } : undefined;
    };

    await obtain();

    expect(asked).toHaveLength(2);
    expect(asked[1]).toBeGreaterThanOrEqual(5 * MINUTE);
    expect(source.backups).toHaveLength(1);
  });

  it('is looked for with few calls, so that many who look do not swamp the service', async () => {
    let asked = 0;
    source.onStart = () => {
      source.onAsk = () => void asked++;
      source.onStart = () => {
        source.onAsk = () => undefined;
        return undefined;
      };
      return { kind: 'unknown', reason: 'timeout' };
    };

    await obtain();

    expect(asked).toBeLessThanOrEqual(20);
  });

  it('gives up after three requests that came to nothing', async () => {
    source.onStart = () => ({ kind: 'unknown', reason: 'timeout' });

    await expect(obtain()).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
    expect(source.startsOf('r-one')).toBe(3);
  });

  it('takes no look that failed for a proof that nothing started', async () => {
    source.onStart = (_instance, accept) => {
      accept();
      return { kind: 'unknown', reason: 'timeout' };
    };
    const quietUntil = clock.now() + 20 * MINUTE;
    source.onAsk = (action) => {
      if (action !== 'getInstance' && clock.now() < quietUntil)
        throw new BackupError('THROTTLED', 'list: throttled', { retryable: true });
    };

    await obtain();

    expect(source.startsOf('r-one')).toBe(1);
  });
});

describe('adoption of a finished backup', () => {
  it('takes the newest complete one that is fresh enough, and starts none', async () => {
    source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - 5 * HOUR });
    const fresh = source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - 2 * HOUR });
    source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - HOUR, fails: true });

    const backup = await obtain('r-one', { adoptWithinMs: 6 * HOUR });

    expect(backup).toMatchObject({ ids: [fresh.id], adopted: true, mode: 'automated' });
    expect(source.startsOf('r-one')).toBe(0);
  });

  it('takes none that is older than allowed, lacks a shard, or was refused before', async () => {
    source.plant({ instanceId: 'r-cluster', startedAtMs: clock.now() - 7 * HOUR });
    source.plant({ instanceId: 'r-cluster', startedAtMs: clock.now() - 2 * HOUR, missingShards: [2] });
    const refused = source.plant({ instanceId: 'r-cluster', startedAtMs: clock.now() - HOUR });

    const backup = await obtain('r-cluster', { adoptWithinMs: 6 * HOUR, refusedIds: [refused.id] });

    expect(backup.adopted).toBe(false);
    expect(source.startsOf('r-cluster')).toBe(1);
  });

  it('is off when the plan says 0', async () => {
    source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - MINUTE });

    expect((await obtain()).adopted).toBe(false);
  });
});

describe('an instance that cannot be backed up now', () => {
  it('is waited for while its state changes', async () => {
    source.put({ id: 'r-one', status: 'Changing' });
    const readyAt = clock.now() + 90 * MINUTE;
    source.onAsk = () => {
      if (clock.now() >= readyAt) source.put({ id: 'r-one' });
    };

    await expect(obtain()).resolves.toMatchObject({ adopted: false });
    expect(source.startsOf('r-one')).toBe(1);
  });

  it('is not ready when its state has not changed by the deadline', async () => {
    source.put({ id: 'r-one', status: 'Changing' });

    await expect(obtain('r-one', { timeoutMs: HOUR })).rejects.toMatchObject({ code: 'INSTANCE_NOT_READY' });
    expect(source.startsOf('r-one')).toBe(0);
  });

  it('is tried again when the service refuses although it looked ready', async () => {
    source.onStart = () => {
      if (source.startsOf('r-one') < 4)
        throw new BackupError('INSTANCE_NOT_READY', 'start: IncorrectDBInstanceState', { retryable: true });
      return undefined;
    };

    await expect(obtain()).resolves.toMatchObject({ adopted: false });
    expect(source.backups).toHaveLength(1);
  });

  it('is asked about again for as long as the service is swamped, and not failed for it', async () => {
    const listed = (await source.getInstance('cn-hangzhou', 'r-one', signal)) as Instance; // put there above
    source.onAsk = (action) => {
      if (action !== 'listJobs' && elapsed() < 20 * MINUTE)
        throw new BackupError('THROTTLED', `${action}: Throttling.User`, { retryable: true });
    };

    const backup = await obtainBackup(
      listed,
      { adoptWithinMs: HOUR, timeoutMs: 6 * HOUR },
      { source, records, clock, log: silentLog },
      signal,
    );

    expect(backup.adopted).toBe(false);
    expect(source.startsOf('r-one')).toBe(1);
  });

  it('has timed out, with the trouble named, when the service stays swamped', async () => {
    const listed = (await source.getInstance('cn-hangzhou', 'r-one', signal)) as Instance; // put there above
    source.onAsk = (action) => {
      throw new BackupError('THROTTLED', `${action}: Throttling.User`, { retryable: true });
    };

    await expect(
      obtainBackup(
        listed,
        { adoptWithinMs: 0, timeoutMs: HOUR },
        { source, records, clock, log: silentLog },
        signal,
      ),
    ).rejects.toMatchObject({
      code: 'BACKUP_TIMEOUT',
      cause: { message: 'getInstance: Throttling.User' },
    });
    expect(source.startsOf('r-one')).toBe(0);
  });

  it('is not found when it is gone', async () => {
    const instance = await source.getInstance('cn-hangzhou', 'r-one', signal);
    source.remove('r-one');

    const attempt = obtainBackup(
      instance as Instance, // put there above
      { adoptWithinMs: 0, timeoutMs: HOUR },
      { source, records, clock, log: silentLog },
      signal,
    );

    await expect(attempt).rejects.toMatchObject({ code: 'INSTANCE_NOT_FOUND' });
  });

  describe('because it has had its backups of the day', () => {
    beforeEach(() => {
      source.perDay = 2;
      for (const hours of [30, 20, 3])
        source.plant({ instanceId: 'r-one', mode: 'manual', startedAtMs: clock.now() - hours * HOUR });
    });

    it('fails by name, and says when the next one can be made and what could be taken instead', async () => {
      await expect(obtain('r-one', { adoptWithinMs: 2 * HOUR })).rejects.toMatchObject({
        code: 'BACKUP_QUOTA',
        message:
          'back up r-one in cn-hangzhou: its manual backups of the day are used up (2 are listed), the next can be made at 2026-11-20T22:00:00Z',
        hint: 'its newest finished backup is of 2026-11-20T15:00:00Z; backup.adoptWithinHours: 3 would take it',
        details: { freesAt: '2026-11-20T22:00:00Z', manualBackups: 2 },
      });
      expect(source.startsOf('r-one')).toBe(1);
    });

    it('is not asked for another one when the plan allows to take one of them', async () => {
      const backup = await obtain('r-one', { adoptWithinMs: 4 * HOUR });

      expect(backup).toMatchObject({ adopted: true, startedAt: '2026-11-20T15:00:00Z' });
      expect(source.startsOf('r-one')).toBe(0);
    });

    it('takes one that was finished since it was looked for, and remembers that', async () => {
      source.onStart = () => {
        source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - MINUTE, endsAtMs: clock.now() });
        return undefined;
      };

      const backup = await obtain('r-one', { adoptWithinMs: 2 * HOUR });

      expect(backup).toMatchObject({ adopted: true, mode: 'automated', startedAt: '2026-11-20T17:59:00Z' });
      expect(records.all.get('backup-answer-1')).toMatchObject({ kind: 'finished' });
      expect(await obtain('r-one', { adoptWithinMs: 2 * HOUR })).toEqual(backup);
      expect(source.startsOf('r-one')).toBe(1);
    });

    it('takes none that the plan calls too old, and none at all when it adopts none', async () => {
      source.onStart = () => {
        source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - MINUTE, endsAtMs: clock.now() });
        return undefined;
      };

      await expect(obtain()).rejects.toMatchObject({ code: 'BACKUP_QUOTA' });
    });

    it('does not know when the next can be made where the service lists none of them', async () => {
      source.backups.splice(0);
      source.perDay = 0;

      await expect(obtain()).rejects.toMatchObject({
        code: 'BACKUP_QUOTA',
        message: expect.stringContaining('(0 are listed), and it is not known when') as string,
      });
    });
  });

  it('is refused before anything is started when nobody knows its number of shards', async () => {
    source.put({ id: 'r-odd', architecture: 'cluster', shards: 0 });

    await expect(obtain('r-odd')).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('shards') as string,
    });
    expect(source.startsOf('r-odd')).toBe(0);
  });

  it('is counted with the shards that it has when the backup is made, not when it was listed', async () => {
    const listed = await source.getInstance('cn-hangzhou', 'r-cluster', signal);
    source.put({ id: 'r-cluster', architecture: 'cluster', shards: 5 });

    const backup = await obtainBackup(
      listed as Instance, // put there above
      { adoptWithinMs: 0, timeoutMs: HOUR },
      { source, records, clock, log: silentLog },
      signal,
    );

    expect(backup.shards).toBe(5);
  });
});

describe('a cluster that is changed while its backup is made', () => {
  const resharded = (shards: number): void =>
    source.put({ id: 'r-cluster', architecture: 'cluster', shards, status: 'Normal' });

  it('has no backup when it has another number of shards afterwards', async () => {
    source.next({ shards: 3 });
    source.onAsk = (action) => {
      // Finished with all the files of the three shards that it had; the fourth is there a moment later.
      if (action === 'getInstance' && source.backups.some(({ endsAtMs }) => clock.now() >= endsAtMs))
        resharded(4);
    };

    await expect(obtain('r-cluster')).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('it had 3 shards when its backup was begun and has 4 now') as string,
    });
    expect(source.startsOf('r-cluster')).toBe(1);
  });

  it('is waited for until it is at rest, and has a backup when nothing has moved', async () => {
    source.durationMs = MINUTE;
    source.onAsk = (action) => {
      if (action !== 'getInstance' || elapsed() < MINUTE) return;
      source.put({
        id: 'r-cluster',
        architecture: 'cluster',
        shards: 3,
        status: elapsed() < 40 * MINUTE ? 'Changing' : 'Normal',
      });
    };

    await expect(obtain('r-cluster')).resolves.toMatchObject({ shards: 3, adopted: false });
    expect(elapsed()).toBeGreaterThan(40 * MINUTE);
  });

  it('has no backup when nobody can say by the deadline whether something has moved', async () => {
    source.durationMs = MINUTE;
    source.onAsk = (action) => {
      if (action === 'getInstance' && elapsed() >= MINUTE)
        source.put({ id: 'r-cluster', architecture: 'cluster', shards: 3, status: 'Changing' });
    };

    await expect(obtain('r-cluster', { timeoutMs: HOUR })).rejects.toMatchObject({
      code: 'INSTANCE_NOT_READY',
    });
  });

  it('gets a backup of its own when somebody else’s turns out to be torn', async () => {
    source.plant({
      instanceId: 'r-cluster',
      startedAtMs: clock.now() - MINUTE,
      endsAtMs: clock.now() + 10 * MINUTE,
      shards: 3,
    });
    let hasGrown = false;
    source.onAsk = (action) => {
      if (action !== 'getInstance' || hasGrown || elapsed() < 10 * MINUTE) return;
      hasGrown = true;
      resharded(4);
    };

    await expect(obtain('r-cluster')).resolves.toMatchObject({ shards: 4, adopted: false });
  });
});

describe('several who want the same backup', () => {
  it('goes on with the recorded backup after being killed at any of its records', async () => {
    for (let kills = 0; ; kills++) {
      records = createMemoryRecords();
      source = createMemorySource(clock, [{ id: 'r-one' }]);
      let left = kills;
      let died = false;
      const under = records;
      const countdown = (): void => {
        if (left-- > 0 || died) return;
        died = true;
        throw new BackupError('INTERRUPTED', 'killed');
      };
      records = {
        all: under.all,
        read: async (name: string, stop: AbortSignal) => {
          countdown();
          return under.read(name, stop);
        },
        // Once killed before the record is written, once after.
        write: async (name: string, value: unknown, stop: AbortSignal) => {
          countdown();
          const held = await under.write(name, value, stop);
          countdown();
          return held;
        },
      };

      const first = await obtain().catch((error: unknown) => error);
      const wasKilled = died;
      died = true;
      const second = await obtain();

      expect(source.backups).toHaveLength(1);
      expect(second.ids).toEqual([source.backups[0]?.id]);
      if (!wasKilled) {
        expect(first).toEqual(second);
        expect(kills).toBeGreaterThan(6);
        return;
      }
    }
  });

  it('gives duplicates at the same time the same single backup', async () => {
    const backups = await Promise.all([obtain(), obtain(), obtain()]);

    expect(new Set(backups.map(({ ids }) => ids.join())).size).toBe(1);
    expect(source.backups).toHaveLength(1);
    expect(source.startsOf('r-one')).toBe(1);
  });

  it('counts the time limit from the first of them', async () => {
    source.next({ endsAtMs: Infinity });
    const killed = new AbortController();
    const first = obtain('r-one', { timeoutMs: HOUR }, killed.signal).catch((error: unknown) => error);
    await clock.sleep(40 * MINUTE, signal);
    killed.abort(new BackupError('DEADLINE_NEAR', 'hand over'));
    expect(await first).toMatchObject({ code: 'DEADLINE_NEAR' });

    await expect(obtain('r-one', { timeoutMs: HOUR })).rejects.toMatchObject({ code: 'BACKUP_TIMEOUT' });
    expect(elapsed()).toBe(HOUR);
  });
});

describe('a backup that is pulled', () => {
  /** Nothing is ever started at such a source, listed or adopted; each request for a backup gives another id. */
  const pulling = (change: Partial<Source> = {}): Source => {
    let ids = 0;
    return {
      ...source,
      startBackup: async () => ({ kind: 'pulled', id: `orders-${++ids}` }),
      listBackups: async () => Promise.reject(new Error('there is nothing to list')),
      pull: async () => Promise.reject(new Error('not here')),
      ...change,
    };
  };
  const obtainFrom = async (from: Source, turn?: Turn): Promise<ObtainedBackup> => {
    const instance = await source.getInstance('cn-hangzhou', 'r-cluster', signal);
    return obtainBackup(
      instance as Instance, // put there above
      { adoptWithinMs: HOUR, timeoutMs: 6 * HOUR },
      { source: from, records, clock, log: silentLog, ...(turn === undefined ? {} : { turn }) },
      signal,
    );
  };

  it('is nothing but an id at first, the same for all who ask, whenever they do', async () => {
    const from = pulling();

    const [first, second] = await Promise.all([obtainFrom(from), obtainFrom(from)]);
    clock.skip(HOUR);
    const later = await obtainFrom(from);

    expect(first).toEqual({
      ids: [expect.stringMatching(/^orders-[12]$/)],
      jobIds: [],
      mode: 'manual',
      startedAt: '2026-11-20T18:00:00Z',
      endedAt: '2026-11-20T18:00:00Z',
      adopted: false,
      shards: 3,
    });
    expect([second, later]).toEqual([first, first]);
  });

  it('waits for its turn, and until the instance is at rest', async () => {
    const said: string[] = [];
    source.put({ id: 'r-cluster', architecture: 'cluster', shards: 3, status: 'Changing' });
    const turn: Turn = {
      mayWait: true,
      open: async () => 0,
      come: async () => {
        said.push('come');
        return 'at once';
      },
      confirm: async () => void said.push('confirm'),
    };
    const from = pulling({
      getInstance: async (...asked) => {
        if (clock.now() > startedAt) source.put({ id: 'r-cluster', architecture: 'cluster', shards: 2 });
        return source.getInstance(...asked);
      },
    });

    const { shards } = await obtainFrom(from, turn);

    expect(shards).toBe(2);
    expect(said).toEqual(['come', 'confirm']);
  });

  it('is not begun when the source says anything else', async () => {
    const from = pulling({ startBackup: async () => ({ kind: 'already-running' }) });

    await expect(obtainFrom(from)).rejects.toMatchObject({ code: 'INTERNAL' });
  });
});

describe('the log at night', () => {
  let lines: Record<string, unknown>[];
  const log = createLog((line) => void lines.push(JSON.parse(line) as Record<string, unknown>));
  const messages = (): unknown[] => lines.map(({ message }) => message);
  beforeEach(() => {
    lines = [];
  });

  it('says in one line for each step what was asked for and how it went, with the ids to look for', async () => {
    await obtain('r-one', {}, signal, log);

    expect(lines).toMatchObject([
      { message: 'asked for a backup', instanceId: 'r-one', jobIds: source.backups[0]?.jobIds.join() },
      { message: 'the backup is finished', instanceId: 'r-one', backupIds: source.backups[0]?.id, files: 1 },
    ]);
  });

  it('says which backup was taken instead of a new one', async () => {
    const { id } = source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - HOUR });

    await obtain('r-one', { adoptWithinMs: 6 * HOUR }, signal, log);

    expect(lines).toMatchObject([{ message: 'adopted a finished backup', backupIds: id }]);
  });

  it('says which running backup is waited for', async () => {
    source.plant({ instanceId: 'r-one', startedAtMs: clock.now() - 10_000, jobIds: ['77'] });

    await obtain('r-one', {}, signal, log);

    expect(lines).toMatchObject([
      { message: 'adopted the running backup', jobIds: '77' },
      { message: 'the backup is finished' },
    ]);
  });

  it('says only once in a while that it is still waiting', async () => {
    source.durationMs = HOUR;

    await obtain('r-one', {}, signal, log);

    expect(messages().filter((message) => message === 'still waiting for the backup')).toHaveLength(3);
  });

  it('says what it waits for before it asks', async () => {
    source.put({ id: 'r-one', status: 'Changing' });
    const obtaining = obtain('r-one', {}, signal, log);
    await clock.sleep(5 * MINUTE, signal);
    source.put({ id: 'r-one', status: 'Normal' });
    await obtaining;

    expect(lines[0]).toMatchObject({ message: 'waiting until the instance is at rest', status: 'Changing' });
    expect(messages()).toHaveLength(3);
  });

  it('says why no backup was started', async () => {
    let refused = false;
    source.onStart = () => {
      if (refused) return undefined;
      refused = true;
      throw new BackupError('INSTANCE_NOT_READY', 'CreateBackup: IncorrectDBInstanceState', {
        retryable: true,
      });
    };

    await obtain('r-one', {}, signal, log);

    expect(lines[0]).toMatchObject({
      level: 'warn',
      message: 'no backup was started',
      reason: 'CreateBackup: IncorrectDBInstanceState',
    });
  });
});
