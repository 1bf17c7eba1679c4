/** OSS in a child process: says its port, and its peak resident memory when asked. Ends with its parent. */
import { readFileSync } from 'node:fs';
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { listen } from '../../../emulator/http.ts';
import { createIdentity } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import { createOss } from '../../../emulator/oss/oss-service.ts';
import { noEndpoints } from '../../../emulator/world.ts';

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
    endpoints: noEndpoints(),
  };
  world.identity.addAccount('1', { accessKeyId: 'LTAItest', accessKeySecret: 'secret' });
  const oss = await createOss(world, [{ name: 'my-backups', region: 'cn-hangzhou' }]);
  const { port } = await listen(oss.service, world);
  process.on('message', () => {
    const memory: Memory = { maxRssBytes: peakRssBytes() };
    process.send?.(memory);
  });
  process.on('disconnect', () => process.exit(0));
  const started: Started = { port };
  process.send?.(started);
}

/** getrusage() starts with the peak of the process that forked this one; the kernel's own record does not. */
function peakRssBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error('the kernel does not tell the peak of resident memory');
  return Number(kilobytes) * 1024;
}

serve(process.argv[2] ?? '.').catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
