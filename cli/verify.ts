import { Command } from 'commander';
import { readEnvironment, type Environment } from '../functions/core/config.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { asBackupError, BackupError, toErrorRecord } from '../functions/core/errors.ts';
import { createRdbScanner } from '../functions/core/rdb/scanner.ts';
import {
  readCatalogue,
  readManifest,
  totalBytes,
  type DamagedManifest,
  type StoredBackup,
} from '../functions/core/repository/catalogue.ts';
import { isManifestKey } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { verifyBackup, type BackupFinding } from '../functions/core/repository/verify-backup.ts';
import { bucketRegion, findDestination, parseOssAddress, type PlanOptions } from './bucket.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
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
    .action(async (manifest: string | undefined, options: VerifyOptions, command: Command) => {
      if ([manifest, options.instance, options.run, options.all].every((named) => named === undefined))
        command.error('error: name a manifest, --instance, --run or --all');
      const chosen = await choose(manifest, options, readEnvironment(process.env), signal);
      const result = await verifyAll(chosen, signal);
      if (options.json === true) printJson(toJson(result));
      else show(result);
      finish(exitCode(result));
    });
}

interface Chosen {
  readonly store: ObjectStore;
  readonly backups: readonly StoredBackup[];
  /** Manifests that cannot be understood: nothing can be held against them. */
  readonly damaged: readonly DamagedManifest[];
}

interface Result {
  readonly verified: readonly Verified[];
  readonly damaged: readonly DamagedManifest[];
  /** What could not be read, so that nothing is known about it. */
  readonly unread: readonly DamagedManifest[];
}

async function verifyAll({ store, backups, damaged }: Chosen, signal: AbortSignal): Promise<Result> {
  const verified: Verified[] = [];
  const unread: DamagedManifest[] = [];
  for (const backup of backups) {
    const { manifestKey, manifest } = backup;
    const bar = progressBar(manifest.instance.id, totalBytes(manifest));
    try {
      const finding = await verifyBackup(
        store,
        manifest,
        () => createRdbScanner(),
        signal,
        (bytes) => bar.add(bytes),
      );
      verified.push({ ...backup, finding });
    } catch (thrown) {
      const error = asBackupError(thrown);
      // What may pass has used up its patience: the next backup would not be read either.
      if (signal.aborted || error.retryable) throw error;
      unread.push({ manifestKey, error });
    } finally {
      bar.end();
    }
  }
  return { verified, damaged, unread };
}

function exitCode({ verified, damaged, unread }: Result): ExitCode {
  if (damaged.length > 0 || !verified.every(isSound)) return EXIT.damaged;
  return unread.length > 0 ? EXIT.error : EXIT.done;
}

async function choose(
  named: string | undefined,
  options: VerifyOptions,
  environment: Environment,
  signal: AbortSignal,
): Promise<Chosen> {
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
    const manifest = await readManifest(store, key, signal);
    return { store, backups: [{ manifestKey: key, manifest }], damaged: [] };
  }
  const destination = await findDestination(options, environment);
  const store = cloud.storeFor(destination);
  const query = {
    prefix: destination.prefix,
    ...(options.instance === undefined ? {} : { instanceId: options.instance }),
  };
  const { backups: stored, damaged } = await readCatalogue(store, query, signal);
  const wanted = stored.filter(({ manifest }) => options.run === undefined || manifest.runId === options.run);
  const backups = options.instance !== undefined && options.all === undefined ? wanted.slice(0, 1) : wanted;
  // Looking at nothing is no proof of anything.
  if (backups.length + damaged.length === 0)
    throw new BackupError('NOT_FOUND', `verify: no such backup in ${store.name}/${destination.prefix}`);
  return { store, backups, damaged };
}

function isSound({ finding }: Verified): boolean {
  return finding.sound;
}

function show({ verified, damaged, unread }: Result): void {
  const rows = verified.flatMap(({ manifest, finding }) =>
    finding.files.map((file) => [
      manifest.instance.id,
      manifest.runId,
      file.key.slice(file.key.lastIndexOf('/') + 1),
      size(file.bytes),
      file.problems.length === 0 ? 'as stored' : 'DAMAGED',
    ]),
  );
  if (rows.length > 0) print(table(['INSTANCE', 'RUN', 'FILE', 'READ', 'RESULT'], rows));
  for (const { manifestKey, finding } of verified) {
    for (const problem of finding.problems) note(`${manifestKey}: ${problem}`);
    for (const file of finding.files) for (const problem of file.problems) note(`${file.key}: ${problem}`);
  }
  for (const { manifestKey, error } of damaged) note(`damaged: ${manifestKey}: ${error.message}`);
  for (const { manifestKey, error } of unread) {
    note(`not read: ${manifestKey}: ${error.code}: ${error.message}`);
    if (error.hint !== undefined) note(`  ${error.hint}`);
  }
  const all = verified.length + damaged.length + unread.length;
  const sound = verified.filter(isSound).length;
  const rest = [
    [all - sound - unread.length, 'damaged'],
    [unread.length, 'not read'],
  ].flatMap(([count, what]) => (count === 0 ? [] : [`, ${count} ${what}`]));
  print(`${sound} of ${all} backups are as they were stored${rest.join('')}`);
}

function toJson({ verified, damaged, unread }: Result): unknown {
  const withError = ({ manifestKey, error }: DamagedManifest): unknown => ({
    manifest: manifestKey,
    error: toErrorRecord(error),
  });
  return {
    sound: damaged.length + unread.length === 0 && verified.every(isSound),
    backups: verified.map(({ manifestKey, manifest, finding }) => ({
      manifest: manifestKey,
      instance: manifest.instance.id,
      runId: manifest.runId,
      ...finding,
    })),
    damaged: damaged.map(withError),
    unread: unread.map(withError),
  };
}
