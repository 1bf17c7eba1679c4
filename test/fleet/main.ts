/** `npm run fleet`: the run over a fleet, as large as one likes, and what it cost. */
import { parseArgs } from 'node:util';
import { runFleet } from './run-fleet.ts';

const HELP = `npm run fleet -- [options]

  --instances N     instances in two accounts and three regions, every fifth a cluster (default 500)
  --concurrency N   instances at work at the same time (default 50)
  --kills N         how often the orchestrator is killed on the way (default 3)
  --help            this text

Backs them up in the emulated cloud with the built functions, and prints what the witnesses say and what it cost.
Exits with 1 when an instance did not end in exactly one backup.
`;

const OPTIONS = {
  instances: { type: 'string', default: '500' },
  concurrency: { type: 'string', default: '50' },
  kills: { type: 'string', default: '3' },
  help: { type: 'boolean', default: false },
} as const;

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error);
    process.exitCode = 2;
  },
);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const report = await runFleet({
    instances: whole(values.instances, '--instances'),
    concurrency: whole(values.concurrency, '--concurrency'),
    kills: whole(values.kills, '--kills'),
  });
  console.log(JSON.stringify(report, undefined, 2));
  return report.objections.length === 0 && report.stored === report.instances ? 0 : 1;
}

function whole(text: string, option: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new Error(`${option}: a whole number, not "${text}"`);
  return Number(text);
}
