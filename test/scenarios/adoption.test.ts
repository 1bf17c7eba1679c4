/**
 * When a backup is taken that is there already, and when one is made: one run for each plan, the service's own count of
 * CreateBackup as the witness.
 */
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { InstanceSpec } from '../../emulator/world.ts';
import type { InstanceResult, Summary } from '../../functions/orchestrator/summary.ts';
import { removeFiles, shardsOf, SMALL, writeFiles } from './files.ts';
import { BUCKET, REGION, runPlan } from './stage.ts';

const HOUR_MS = 3600_000;

interface Rule {
  readonly when: string;
  readonly spec?: Partial<InstanceSpec>;
  readonly arrange: (emulator: Emulator, id: string) => void | Promise<unknown>;
  /** Calls of CreateBackup, refused ones included. */
  readonly calls: number;
  readonly ends: { readonly adopted: boolean; readonly mode?: string } | { readonly fails: RegExp };
}

const CLUSTER = shardsOf(3, { name: 'adopted' });
const cluster: Partial<InstanceSpec> = { architecture: 'cluster', rdbFiles: CLUSTER };

const hoursAgo = (hours: number): number => Date.now() - hours * HOUR_MS;
const planted =
  (hours: number, more: object = {}): Rule['arrange'] =>
  async (emulator, id) =>
    emulator.tair.plantBackup(id, { startedAt: hoursAgo(hours), ...more });

/** With `adoptWithinHours: 6`. */
const ADOPTING: readonly Rule[] = [
  {
    when: 'takes a fresh one of the service’s own schedule',
    arrange: planted(5),
    calls: 0,
    ends: { adopted: true, mode: 'automated' },
  },
  {
    when: 'takes a fresh one that somebody has asked for',
    arrange: planted(1, { mode: 'Manual' }),
    calls: 0,
    ends: { adopted: true, mode: 'manual' },
  },
  { when: 'makes one when the newest is too old', arrange: planted(7), calls: 1, ends: { adopted: false } },
  {
    when: 'makes one when the fresh one has failed',
    arrange: planted(1, { failed: true }),
    calls: 1,
    ends: { adopted: false },
  },
  {
    when: 'takes an older one, still fresh enough, when the newest has failed',
    arrange: async (emulator, id) => {
      await planted(1, { failed: true })(emulator, id);
      await planted(2)(emulator, id);
    },
    calls: 0,
    ends: { adopted: true },
  },
  {
    when: 'takes a cluster’s fresh one',
    spec: cluster,
    arrange: planted(1),
    calls: 0,
    ends: { adopted: true },
  },
  {
    when: 'takes a classic cluster’s fresh one, with a job for each shard',
    spec: { ...cluster, deployment: 'classic', jobPerShard: true },
    arrange: planted(1),
    calls: 0,
    ends: { adopted: true },
  },
  {
    when: 'waits for one that is running, and takes it',
    arrange: async (emulator, id) => startedBySomebody(emulator, id),
    calls: 1,
    ends: { adopted: true, mode: 'manual' },
  },
  {
    when: 'takes a fresh one although no more can be made today',
    arrange: async (emulator, id) => {
      await usedUp(emulator, id);
      await planted(1)(emulator, id);
    },
    calls: 0,
    ends: { adopted: true },
  },
  {
    when: 'fails by name when no more can be made today and none is fresh, and says when and what to do',
    arrange: usedUp,
    calls: 1,
    ends: {
      fails:
        /BACKUP_QUOTA .*its manual backups of the day are used up \(30 are listed\), the next can be made at 20\d\d-.*Z/,
    },
  },
];

/** Without it. */
const CREATING: readonly Rule[] = [
  {
    when: 'makes one although there is a fresh one',
    arrange: planted(0.1),
    calls: 1,
    ends: { adopted: false },
  },
  {
    when: 'waits for one that is running all the same, for no other can be made meanwhile',
    arrange: async (emulator, id) => startedBySomebody(emulator, id),
    calls: 1,
    ends: { adopted: true },
  },
  {
    when: 'fails by name when no more can be made today, and takes nothing that the plan does not allow',
    arrange: async (emulator, id) => {
      await usedUp(emulator, id);
      await planted(1)(emulator, id);
    },
    calls: 1,
    ends: { fails: /BACKUP_QUOTA/ },
  },
];

/** Another client's backup, which goes on until tairlift has asked for one of its own. */
async function startedBySomebody(emulator: Emulator, id: string): Promise<void> {
  const release = emulator.tair.holdBackup(id);
  await emulator.tair.startBackup(id);
  const look = setInterval(() => {
    if (emulator.tair.createBackupCalls(id) === 0) return;
    clearInterval(look);
    release();
  }, 50).unref();
}

async function usedUp(emulator: Emulator, id: string): Promise<void> {
  for (let number = 0; number < 30; number++)
    await emulator.tair.plantBackup(id, {
      mode: 'Manual',
      startedAt: hoursAgo(23 - number / 2),
      failed: true,
    });
}

describe.each([
  [
    'that adopts backups of the last six hours',
    'backup: { adoptWithinHours: 6, timeoutMinutes: 1 }',
    ADOPTING,
  ],
  ['that adopts none', 'backup: { timeoutMinutes: 1 }', CREATING],
] as const)('a plan %s', (_what, backup, rules) => {
  let emulator: Emulator;
  let summary: Summary;
  const idOf = ({ when }: Rule): string => `r-rule${rules.findIndex((rule) => rule.when === when)}`;

  beforeAll(async () => {
    await writeFiles();
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: rules.map((rule) => ({ region: REGION, id: idOf(rule), rdbFiles: [SMALL], ...rule.spec })),
    });
    for (const rule of rules) await rule.arrange(emulator, idOf(rule));
    const plans = `plans:\n  nightly:\n    targets: [{ region: ${REGION} }]\n    rate: { concurrency: 20 }\n    ${backup}\n`;
    summary = await runPlan(emulator, () => undefined, {}, plans);
  }, 200_000);
  afterAll(async () => emulator?.stop());

  it.each(rules.map((rule) => [rule.when, rule] as const))('%s', async (_when, rule) => {
    const id = idOf(rule);
    const result = summary.instances.find(({ instanceId }) => instanceId === id);
    if ('fails' in rule.ends) expect(sayFailure(result)).toMatch(rule.ends.fails);
    else {
      const key = result?.status === 'stored' ? result.manifest : '';
      const manifest = JSON.parse((await emulator.oss.read(BUCKET, key)).toString()) as object;
      expect(manifest).toMatchObject({ backup: rule.ends });
    }
    expect(emulator.tair.createBackupCalls(id)).toBe(rule.calls);
  });
});

afterAll(() => removeFiles());

function sayFailure(result: InstanceResult | undefined): string {
  return result?.status === 'failed' ? `${result.error.code} ${result.error.message}` : `${result?.status}`;
}
