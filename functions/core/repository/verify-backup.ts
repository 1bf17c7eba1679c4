/** Reads a stored backup again, every byte, and holds it against its manifest. */
import { crc64Xz } from '../crc64.ts';
import { asBackupError } from '../errors.ts';
import type { RdbReport } from '../rdb/report.ts';
import type { RdbScanner } from '../rdb/scanner.ts';
import { proveCluster } from './cluster-proof.ts';
import type { Manifest, ManifestFile } from './manifest.ts';
import type { ObjectStore } from './object-store.ts';

export interface FileFinding {
  readonly key: string;
  /** Bytes that were read. */
  readonly bytes: number;
  /** Everything that does not agree; empty when the file is as it was. */
  readonly problems: readonly string[];
}

export interface BackupFinding {
  readonly files: readonly FileFinding[];
  /** What is wrong with the backup as a whole, a missing shard for instance. */
  readonly problems: readonly string[];
  readonly sound: boolean;
}

/**
 * Goes on after the first problem, so that the finding is complete. Damage is a result, not an exception; what keeps
 * the bytes from being read is an exception, and not damage.
 * @param onProgress gets the number of bytes read since the last call
 */
export async function verifyBackup(
  store: ObjectStore,
  manifest: Manifest,
  createScanner: () => RdbScanner,
  signal: AbortSignal,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<BackupFinding> {
  const problems: string[] = [];
  const shards = new Set(manifest.files.map((file) => file.shard));
  if (shards.size !== manifest.instance.shards || manifest.files.length !== manifest.instance.shards) {
    problems.push(
      `${manifest.files.length} files of ${shards.size} shards; the instance has ${manifest.instance.shards}`,
    );
  }
  if (manifest.instance.architecture === 'cluster')
    problems.push(...proveCluster(manifest.files, manifest.backup).problems);
  const files: FileFinding[] = [];
  for (const file of manifest.files)
    files.push(await verifyFile(store, file, createScanner(), signal, onProgress));
  return {
    files,
    problems,
    sound: problems.length === 0 && files.every((file) => file.problems.length === 0),
  };
}

async function verifyFile(
  store: ObjectStore,
  file: ManifestFile,
  scanner: RdbScanner,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<FileFinding> {
  const problems: string[] = [];
  const head = await store.head(file.key, signal);
  if (head === undefined) return { key: file.key, bytes: 0, problems: ['the object is gone'] };
  if (head.bytes !== file.bytes) problems.push(`holds ${head.bytes} bytes, the manifest says ${file.bytes}`);
  if (head.crc64 !== undefined && head.crc64 !== file.crc64)
    problems.push(`OSS reports CRC-64 ${head.crc64}, the manifest says ${file.crc64}`);

  const crc = crc64Xz();
  let bytes = 0;
  try {
    for await (const chunk of store.read(file.key, signal)) {
      bytes += chunk.length;
      crc.update(chunk);
      scanner.write(chunk);
      onProgress(chunk.length);
    }
  } catch (error) {
    const known = asBackupError(error);
    // A connection that fails, an archive class or a missing permission says nothing about the bytes.
    if (known.code !== 'NOT_FOUND' && known.code !== 'SOURCE_CHANGED') throw known;
    problems.push(`cannot be read at byte ${bytes}: ${known.message}`);
    return { key: file.key, bytes, problems };
  }
  if (bytes !== file.bytes) problems.push(`${bytes} bytes were read, the manifest says ${file.bytes}`);
  if (crc.value().toString() !== file.crc64)
    problems.push(`its bytes have CRC-64 ${crc.value()}, the manifest says ${file.crc64}`);
  problems.push(...contentProblems(file, scanner.end()));
  return { key: file.key, bytes, problems };
}

function contentProblems(file: ManifestFile, { verdict, problem, fingerprint }: RdbReport): string[] {
  if (verdict !== file.rdb.verdict) {
    const reason =
      problem === undefined
        ? ''
        : `: ${problem.reason} while reading ${problem.doing} at byte ${problem.offset}`;
    return [`the RDB is ${verdict}, it was ${file.rdb.verdict}${reason}`];
  }
  const problems: string[] = [];
  const compare = (what: string, now: number | string, then: number | string): void => {
    if (now !== then) problems.push(`${what}: ${now}, the manifest says ${then}`);
  };
  compare('RDB version', fingerprint.version, file.rdb.version);
  compare('keys', fingerprint.keys, file.rdb.keys);
  compare('keys with a time to live', fingerprint.expires, file.rdb.expires);
  compare('digest', fingerprint.digest, file.rdb.digest);
  compare('slots with keys', fingerprint.slots.seen, file.rdb.slots.seen);
  if (file.rdb.slots.ranges !== undefined) compare('slots', fingerprint.slots.ranges, file.rdb.slots.ranges);
  return problems;
}
