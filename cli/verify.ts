import { Command } from 'commander';
import { readEnvironment, type Environment } from '../functions/core/config.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { BackupError } from '../functions/core/errors.ts';
import { createRdbScanner } from '../functions/core/rdb/scanner.ts';
import {
  readCatalogue,
  readManifest,
  totalBytes,
  type StoredBackup,
} from '../functions/core/repository/catalogue.ts';
import { isManifestKey } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { verifyBackup, type BackupFinding } from '../functions/core/repository/verify-backup.ts';
import { bucketRegion, findDestination, parseOssAddress, type PlanOptions } from './bucket.ts';
import { EXIT } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { note, print, printJson, progressBar, size, table } from './terminal.ts';

interface VerifyOptions extends PlanOptions {
  readonly instance?: string;
  readonly run?: string;
  readonly all?: true;
  readonly json?: true;
}

interface Verified extends StoredBackup {
  readonly finding: BackupFinding;
}

export function verifyCommand({ signal, finish }: Invocation): Command {
  return new Command('verify')
    .description('Read stored backups again, every byte, and compare them with their manifests.')
    .argument('[manifest]', 'key of a manifest, or oss://bucket/key')
    .option('--plan <name>', "the bucket of this plan; otherwise TAIRLIFT_BUCKET, or the only plan's")
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--instance <id>', 'the newest backup of this instance; with --all, all of its backups')
    .option('--run <id>', 'all backups of this run')
    .option('--all', 'all backups in the bucket')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift verify Backup_r-bp1abc/2026-11-20/20261120T180000Z-nightly/manifest.json\n  tairlift verify --instance r-bp1abc\n  tairlift verify --run 20261120T180000Z-nightly --json',
    )
    .action(async (manifest: string | undefined, options: VerifyOptions) => {
      const { store, backups } = await choose(manifest, options, readEnvironment(process.env), signal);
      const results: Verified[] = [];
      for (const backup of backups) {
        const bar = progressBar(backup.manifest.instance.id, totalBytes(backup.manifest));
        try {
          const finding = await verifyBackup(
            store,
            backup.manifest,
            () => createRdbScanner(),
            signal,
            (bytes) => bar.add(bytes),
          );
          results.push({ ...backup, finding });
        } finally {
          bar.end();
        }
      }
      if (options.json === true) printJson({ sound: results.every(isSound), backups: results.map(toJson) });
      else show(results);
      finish(results.every(isSound) ? EXIT.done : EXIT.damaged);
    });
}

async function choose(
  named: string | undefined,
  options: VerifyOptions,
  environment: Environment,
  signal: AbortSignal,
): Promise<{ store: ObjectStore; backups: readonly StoredBackup[] }> {
  const cloud = composeCloud(environment);
  if (named !== undefined) {
    const address = parseOssAddress(named);
    const destination =
      address === undefined
        ? await findDestination(options, environment)
        : { region: bucketRegion(environment), bucket: address.bucket, prefix: '' };
    const key = address?.path ?? named;
    if (!isManifestKey(key)) {
      throw new BackupError('CONFIG_INVALID', `verify ${named}: not a manifest`, {
        hint: 'name a key that ends in /manifest.json, as `tairlift list` prints them; for a single RDB file use `tairlift inspect`',
      });
    }
    const store = cloud.storeFor(destination);
    return { store, backups: [{ manifestKey: key, manifest: await readManifest(store, key, signal) }] };
  }
  if (options.instance === undefined && options.run === undefined && options.all === undefined) {
    throw new BackupError('CONFIG_INVALID', 'verify: nothing was named', {
      hint: 'name a manifest, --instance, --run or --all',
    });
  }
  const destination = await findDestination(options, environment);
  const store = cloud.storeFor(destination);
  const query = {
    prefix: destination.prefix,
    ...(options.instance === undefined ? {} : { instanceId: options.instance }),
  };
  const catalogue = await readCatalogue(store, query, signal);
  const [unreadable] = catalogue.damaged;
  if (unreadable !== undefined) throw unreadable.error;
  const wanted = catalogue.backups.filter(
    ({ manifest }) => options.run === undefined || manifest.runId === options.run,
  );
  const backups = options.instance !== undefined && options.all === undefined ? wanted.slice(0, 1) : wanted;
  // Looking at nothing is no proof of anything.
  if (backups.length === 0)
    throw new BackupError('NOT_FOUND', `verify: no such backup in ${store.name}/${destination.prefix}`);
  return { store, backups };
}

function isSound({ finding }: Verified): boolean {
  return finding.sound;
}

function show(results: readonly Verified[]): void {
  const rows = results.flatMap(({ manifest, finding }) =>
    finding.files.map((file) => [
      manifest.instance.id,
      manifest.runId,
      file.key.slice(file.key.lastIndexOf('/') + 1),
      size(file.bytes),
      file.problems.length === 0 ? 'as stored' : 'DAMAGED',
    ]),
  );
  print(table(['INSTANCE', 'RUN', 'FILE', 'READ', 'RESULT'], rows));
  for (const { manifestKey, finding } of results) {
    for (const problem of finding.problems) note(`${manifestKey}: ${problem}`);
    for (const file of finding.files) for (const problem of file.problems) note(`${file.key}: ${problem}`);
  }
  const damaged = results.filter((result) => !isSound(result)).length;
  print(
    damaged === 0
      ? `${results.length} of ${results.length} backups are as they were stored`
      : `${damaged} of ${results.length} backups are damaged`,
  );
}

function toJson({ manifestKey, manifest, finding }: Verified): unknown {
  return { manifest: manifestKey, instance: manifest.instance.id, runId: manifest.runId, ...finding };
}
