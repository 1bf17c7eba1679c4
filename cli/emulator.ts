import { join } from 'node:path';
import { Command } from 'commander';
import { startSampleCloud, type SampleCloud } from '../emulator/sample/sample-cloud.ts';
import type { PortName } from '../emulator/start-emulator.ts';
import type { Invocation } from './invocation.ts';
import { positiveInteger } from './options.ts';
import { note, print, printJson, table } from './terminal.ts';

interface EmulatorCommandOptions {
  readonly folder?: string;
  readonly port?: number;
  readonly empty?: true;
  readonly json?: true;
}

export function emulatorCommand({ signal }: Invocation): Command {
  return new Command('emulator')
    .description('Run a local cloud on loopback, with real Redis servers, until Ctrl-C.')
    .option('--folder <path>', 'keep buckets and backups there; a temporary folder if left out')
    .option('--port <n>', 'first of ten ports in a row; free ones if left out', positiveInteger)
    .option('--empty', 'without bucket, roles and functions: deploy them with `npx s deploy -y`')
    .option('--json', 'print where everything is as one JSON document')
    .addHelpText(
      'after',
      '\nIt serves a bucket, three instances (one a cluster) with sample data, and the built functions.\nExport what it prints in another terminal, then for example:\n  tairlift backup --plan nightly\n  tairlift list\nWith --empty, `npx s deploy -y --env dev` deploys to it first: docs/emulator.md.',
    )
    .action(async (options: EmulatorCommandOptions) => {
      note('starting the servers and filling them …');
      const cloud = await startSampleCloud({
        distFolder: join(__dirname, '..'),
        isEmpty: options.empty === true,
        ...(options.folder === undefined ? {} : { folder: options.folder }),
        ...(options.port === undefined ? {} : { ports: portsFrom(options.port) }),
      });
      try {
        if (options.json === true)
          printJson({
            endpoints: cloud.world.endpoints,
            control: cloud.controlEndpoint,
            environment: environmentFor(cloud, options),
            functions: cloud.fc.describe().map(({ name }) => name),
            instances: cloud.tair.describe(),
          });
        else show(cloud, environmentFor(cloud, options));
        await untilAborted(signal);
      } finally {
        await cloud.stop();
      }
    });
}

/** For the CLI; when nothing is deployed, for the deployment and for what comes of it in the stage `dev`. */
function environmentFor(
  cloud: SampleCloud,
  { empty }: EmulatorCommandOptions,
): Readonly<Record<string, string>> {
  if (empty !== true) return cloud.environment;
  const { TAIRLIFT_PLANS: _, ...environment } = cloud.environment;
  return {
    ...environment,
    ...cloud.deployEnvironment,
    TAIRLIFT_UPLOADER: 'tairlift-dev-uploader',
    TAIRLIFT_CONTACT_GROUP: 'nobody',
  };
}

/** In the order in which the services are shown. */
function portsFrom(first: number): Record<PortName, number> {
  return {
    tair: first,
    oss: first + 1,
    fc: first + 2,
    sts: first + 3,
    download: first + 4,
    control: first + 5,
    cms: first + 6,
    ram: first + 7,
    ros: first + 8,
    secureOss: first + 9,
  };
}

export function exportLines(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value}'`)
    .join('\n');
}

function show(cloud: SampleCloud, environment: Readonly<Record<string, string>>): void {
  print(
    table(
      ['SERVICE', 'ADDRESS'],
      [...Object.entries(cloud.world.endpoints), ['control', cloud.controlEndpoint]],
    ),
  );
  print('');
  print(
    table(
      ['INSTANCE', 'ARCHITECTURE', 'KEYS', 'REDIS PORTS'],
      cloud.tair
        .describe()
        .map((one) => [one.id, one.architecture, cloud.keys[one.id] ?? 0, one.ports.join(' ')]),
    ),
  );
  print(`\n# in another terminal:\n${exportLines(environment)}\n`);
  note('running; Ctrl-C ends it');
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
