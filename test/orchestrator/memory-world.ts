/** Runs of a plan over a bucket, a source and uploaders in memory, on a clock that passes while everybody waits. */
import { planNamed, readEnvironment, readPlans } from '../../functions/core/config.ts';
import type { Events } from '../../functions/core/events.ts';
import { silentLog, type Log } from '../../functions/core/log.ts';
import { orchestrate, type HandOver, type Run } from '../../functions/orchestrator/orchestrate.ts';
import type { Continued, InstanceResult, Summary } from '../../functions/orchestrator/summary.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createMemoryUploader, type MemoryUploader } from '../doubles/memory-uploader.ts';
import { createVirtualClock, type VirtualClock } from '../doubles/virtual-clock.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const PREFIX = 'pre/';

export interface Wanted extends Partial<Omit<Run, 'plan'>> {
  /** More of the plan's YAML. */
  readonly plan?: string;
  /** Ends this invocation from outside, as a kill would. */
  readonly stop?: AbortSignal;
  readonly bucket?: MemoryStore;
  readonly events?: Events;
  readonly log?: Log;
}

export interface MemoryWorld {
  readonly clock: VirtualClock;
  readonly store: MemoryStore;
  readonly source: MemorySource;
  readonly uploader: MemoryUploader;
  readonly hops: HandOver[];
  invoke(wanted: Wanted): Promise<Summary | Continued>;
  /** Invokes again and again until the run has ended. */
  finish(wanted: Wanted): Promise<Summary>;
  /** A record below the run's folder, or the plan's. */
  read(key: string): unknown;
}

export function createMemoryWorld(
  instances: readonly { readonly id: string; readonly shards?: number }[],
  { bucketAheadMs = -3 * MINUTE }: { readonly bucketAheadMs?: number } = {},
): MemoryWorld {
  const clock = createVirtualClock('2026-11-20T18:00:00Z');
  const store = createMemoryStore(() => clock.now() + bucketAheadMs);
  const source = createMemorySource(clock, instances);
  const uploader = createMemoryUploader(store, clock);
  const hops: HandOver[] = [];

  async function invoke({ plan, stop, bucket, events, log, ...run }: Wanted): Promise<Summary | Continued> {
    const yaml = `plans: { nightly: {
      targets: [{ region: cn-hangzhou }],
      destination: { region: cn-hangzhou, bucket: my-backups, prefix: "${PREFIX}" },
      ${plan ?? ''} } }`;
    const plans = readPlans(yaml, 'plans.yaml', readEnvironment({}), {});
    return orchestrate(
      {
        runId: '20261120T180000Z-nightly',
        dryRun: false,
        retryFailed: false,
        ...run,
        plan: planNamed(plans, 'nightly'),
      },
      {
        sourceFor: () => source,
        store: bucket ?? store,
        invoker: uploader,
        invokeSelf: async (event) => void hops.push(event),
        uploaderLimitMs: HOUR,
        clock,
        log: log ?? silentLog,
        self: 'tairlift-test-orchestrator',
        ...(events === undefined ? {} : { events }),
      },
      stop ?? new AbortController().signal,
    );
  }

  async function finish(wanted: Wanted): Promise<Summary> {
    for (;;) {
      const result = await invoke(wanted);
      if (result.status !== 'continued') return result;
    }
  }

  return {
    clock,
    store,
    source,
    uploader,
    hops,
    invoke,
    finish,
    read: (key) =>
      JSON.parse(store.objects.get(`${PREFIX}.tairlift/${key}`)?.toString() ?? 'null') as unknown,
  };
}

export function byId(summary: Summary, id: string): InstanceResult | undefined {
  return summary.instances.find(({ instanceId }) => instanceId === id);
}
