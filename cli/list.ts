import { Command } from 'commander';
import { readEnvironment } from '../functions/core/config.ts';
import { composeCloud } from '../functions/core/compose.ts';
import {
  readCatalogue,
  totalBytes,
  type Catalogue,
  type StoredBackup,
} from '../functions/core/repository/catalogue.ts';
import { findDestination, type PlanOptions } from './bucket.ts';
import { EXIT } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { positiveInteger } from './options.ts';
import { duration, note, print, printJson, size, table } from './terminal.ts';

interface ListOptions extends PlanOptions {
  readonly instance?: string;
  readonly limit?: number;
  readonly json?: true;
}

export function listCommand({ signal, finish }: Invocation): Command {
  return new Command('list')
    .description('List the backups in the bucket: every folder that has a manifest.')
    .option('--plan <name>', "the bucket of this plan; otherwise TAIRLIFT_BUCKET, or the only plan's")
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--instance <id>', 'only backups of this instance')
    .option('--limit <n>', 'at most this many, newest first', positiveInteger)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift list --plan nightly\n  tairlift list --instance r-bp1abc --limit 5 --json',
    )
    .action(async (options: ListOptions) => {
      const environment = readEnvironment(process.env);
      const destination = await findDestination(options, environment);
      const store = composeCloud(environment).storeFor(destination);
      const query = {
        prefix: destination.prefix,
        ...(options.instance === undefined ? {} : { instanceId: options.instance }),
      };
      const found = await readCatalogue(store, query, signal);
      const catalogue = { ...found, backups: found.backups.slice(0, options.limit) };
      if (options.json === true) printJson(toJson(catalogue));
      else show(catalogue, `${store.name}/${destination.prefix}`);
      finish(catalogue.damaged.length > 0 ? EXIT.damaged : EXIT.done);
    });
}

function show({ backups, damaged, unfinished }: Catalogue, place: string): void {
  if (backups.length === 0) print(`no backups in ${place}`);
  else
    print(
      table(['INSTANCE', 'STARTED', 'AGE', 'FILES', 'SIZE', 'KEYS', 'LEVEL', 'MANIFEST'], backups.map(row)),
    );
  for (const { manifestKey, error } of damaged) note(`damaged: ${manifestKey}: ${error.message}`);
  if (unfinished.length > 0)
    note(
      `${unfinished.length} folders hold files but no manifest: still being written, or left by a failure; no backups`,
    );
}

function row({ manifestKey, manifest }: StoredBackup): string[] {
  const { startedAt } = manifest.backup;
  const keys = manifest.files.reduce((sum, file) => sum + file.rdb.keys, 0);
  return [
    manifest.instance.id,
    startedAt.slice(0, 19).concat('Z'),
    duration(Date.now() - Date.parse(startedAt)),
    String(manifest.files.length),
    size(totalBytes(manifest)),
    String(keys),
    manifest.level,
    manifestKey,
  ];
}

function toJson({ backups, damaged, unfinished }: Catalogue): unknown {
  return {
    backups: backups.map(({ manifestKey, manifest }) => ({
      manifest: manifestKey,
      bytes: totalBytes(manifest),
      ...manifest,
    })),
    damaged: damaged.map(({ manifestKey, error }) => ({ manifest: manifestKey, error: error.message })),
    unfinished,
  };
}
