import { CONTRACT_INSTANCES, REGION, STAGED, testSource } from '../contracts/source.ts';
import { createMemorySource } from './memory-source.ts';
import { createVirtualClock } from './virtual-clock.ts';

testSource('the memory double', async () => {
  const clock = createVirtualClock();
  const source = createMemorySource(
    clock,
    CONTRACT_INSTANCES.map((spec) => ({
      id: spec.id,
      name: 'name' in spec ? spec.name : spec.id,
      architecture: 'architecture' in spec ? spec.architecture : ('standard' as const),
      shards: 'shards' in spec ? spec.shards : 1,
      ...('resourceGroupId' in spec ? { resourceGroup: spec.resourceGroupId } : {}),
      tags: 'tags' in spec ? spec.tags : {},
      ...('nodes' in spec ? { noBackup: 'single-node instances have no backups' } : {}),
    })),
  );
  source.durationMs = 0;
  return {
    source,
    region: REGION,
    instances: STAGED,
    now: () => clock.now(),
    hold: () => {
      source.next({ endsAtMs: Infinity });
      return () => {
        for (const backup of source.backups) backup.endsAtMs = clock.now();
      };
    },
    failNext: () => source.next({ fails: true }),
    setStatus: (id, status) => source.put({ id, status }),
    exhaustQuota: () => {
      source.perDay = 0;
    },
    close: async () => undefined,
  };
});
