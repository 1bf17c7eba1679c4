/** OSS in a child process: says its port, and its peak resident memory when asked. Ends with its parent. */
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { listen } from '../../../emulator/http.ts';
import { createIdentity } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import { createOss } from '../../../emulator/oss/oss-service.ts';

/** What it says first. */
export interface Started {
  readonly port: number;
}

/** What it answers to any message. */
export interface Memory {
  readonly maxRssBytes: number;
}

async function serve(folder: string): Promise<void> {
  const clock = createClock();
  const world = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder,
    accountId: '1',
    endpoints: { tair: '', oss: '', fc: '', sts: '', download: '' },
  };
  world.identity.addAccount('1', { accessKeyId: 'LTAItest', accessKeySecret: 'secret' });
  const oss = await createOss(world, [{ name: 'my-backups', region: 'cn-hangzhou' }]);
  const { port } = await listen(oss.service, world);
  process.on('message', () => {
    const memory: Memory = { maxRssBytes: process.resourceUsage().maxRSS * 1024 };
    process.send?.(memory);
  });
  process.on('disconnect', () => process.exit(0));
  const started: Started = { port };
  process.send?.(started);
}

serve(process.argv[2] ?? '.').catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
