/** Questions asked over the manifests of a bucket. The bucket is the only truth; nothing here is cached. */
import pLimit from 'p-limit';
import { asBackupError, BackupError } from '../errors.ts';
import { backupsPrefix, isManifestKey } from './keys.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import type { ObjectEntry, ObjectStore } from './object-store.ts';

export interface StoredBackup {
  readonly manifestKey: string;
  readonly manifest: Manifest;
}

export interface DamagedManifest {
  readonly manifestKey: string;
  readonly error: BackupError;
}

export interface Catalogue {
  /** Newest first, by the start of the backup at the source. */
  readonly backups: readonly StoredBackup[];
  /** Manifests that cannot be read: loud, because a backup may hide behind one. */
  readonly damaged: readonly DamagedManifest[];
  /** Folders of backup files without a manifest: being written just now, or left behind by a failure. No backups. */
  readonly unfinished: readonly string[];
}

export interface CatalogueQuery {
  readonly prefix: string;
  /** Only this instance; all if left out. */
  readonly instanceId?: string;
}

/** Manifests read at the same time. */
const CONCURRENT_READS = 16;

/** Reads every manifest below the prefix. Throws only when the bucket cannot be listed or read. */
export async function readCatalogue(
  store: ObjectStore,
  query: CatalogueQuery,
  signal: AbortSignal,
): Promise<Catalogue> {
  const folders = new Map<string, ObjectEntry[]>();
  for await (const entry of store.list(backupsPrefix(query.prefix, query.instanceId), signal)) {
    const folder = entry.key.slice(0, entry.key.lastIndexOf('/') + 1);
    const entries = folders.get(folder);
    if (entries === undefined) folders.set(folder, [entry]);
    else entries.push(entry);
  }
  const limit = pLimit(CONCURRENT_READS);
  const backups: StoredBackup[] = [];
  const damaged: DamagedManifest[] = [];
  const unfinished: string[] = [];
  const readFolder = async (folder: string, manifestKey: string | undefined): Promise<void> => {
    if (manifestKey === undefined) {
      unfinished.push(folder);
      return;
    }
    try {
      backups.push({ manifestKey, manifest: await readManifest(store, manifestKey, signal) });
    } catch (error) {
      const known = asBackupError(error);
      if (known.code !== 'BACKUP_DAMAGED') throw known;
      damaged.push({ manifestKey, error: known });
    }
  };
  const reads = [...folders].map(async ([folder, entries]) =>
    limit(readFolder, folder, entries.find((entry) => isManifestKey(entry.key))?.key),
  );
  await Promise.all(reads);
  backups.sort(
    (a, b) =>
      b.manifest.backup.startedAt.localeCompare(a.manifest.backup.startedAt) ||
      a.manifestKey.localeCompare(b.manifestKey),
  );
  return { backups, damaged, unfinished: unfinished.sort() };
}

/** One manifest. Throws `NOT_FOUND`, or `BACKUP_DAMAGED` when it cannot be understood. */
export async function readManifest(store: ObjectStore, key: string, signal: AbortSignal): Promise<Manifest> {
  const bytes = await store.get(key, signal);
  if (bytes === undefined)
    throw new BackupError('NOT_FOUND', `read ${store.name}/${key}: there is no such manifest`);
  return parseManifest(bytes, key);
}

/** Bytes of all files of a backup. */
export function totalBytes(manifest: Manifest): number {
  return manifest.files.reduce((sum, file) => sum + file.bytes, 0);
}
