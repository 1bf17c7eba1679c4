/** Believes nothing but the bucket: reads a manifest and holds what it says against the objects themselves. */
import pLimit from 'p-limit';
import { BackupError } from '../core/errors.ts';
import { proveCluster } from '../core/repository/cluster-proof.ts';
import { backupFolder, manifestKey, type BackupPlace } from '../core/repository/keys.ts';
import { LEVELS, parseManifest, type Manifest, type ManifestFile } from '../core/repository/manifest.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';

export interface Expected {
  readonly region: string;
  readonly shards: number;
}

/** OSS's own checksum must have agreed; an RDB written without a checksum of its own cannot get further. */
const LEAST_LEVEL = LEVELS.indexOf('checksummed');

/** Requests at a time: a cluster may have hundreds of shards. */
const HEADS_AT_ONCE = 8;

/**
 * The manifest of a backup that is whole: of this run and instance, with one file for each shard, which of a cluster can
 * be of one moment, checked at least by OSS's checksum, every object there with the length and checksum that the
 * manifest says. Undefined when there is no manifest.
 * @throws BackupError `BACKUP_DAMAGED` with everything that does not agree
 */
export async function checkStored(
  store: ObjectStore,
  place: BackupPlace,
  expected: Expected,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const key = manifestKey(place);
  const bytes = await store.get(key, signal);
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes, key);
  const limit = pLimit(HEADS_AT_ONCE);
  const problems = [
    ...manifestProblems(manifest, place, expected),
    ...(await limit.map(manifest.files, async (file) => fileProblems(store, file, signal))).flat(),
  ];
  if (problems.length === 0) return manifest;
  throw new BackupError('BACKUP_DAMAGED', `check ${store.name}/${key}: ${problems.join('; ')}`, {
    details: { instanceId: place.instanceId, problems: problems.length },
    hint: 'backup objects are never changed by tairlift: find out what else writes to the bucket',
  });
}

function manifestProblems(manifest: Manifest, place: BackupPlace, expected: Expected): readonly string[] {
  const problems: string[] = [];
  const compare = (what: string, is: string | number, should: string | number): void => {
    if (is !== should) problems.push(`${what} is ${is} and should be ${should}`);
  };
  compare('the run', manifest.runId, place.runId);
  compare('the instance', manifest.instance.id, place.instanceId);
  compare('the region', manifest.instance.region, expected.region);
  compare('the number of files', manifest.files.length, expected.shards);
  const shards = new Set(manifest.files.map((file) => file.shard));
  for (let shard = 0; shard < expected.shards; shard++)
    if (!shards.has(shard)) problems.push(`no file of shard ${shard}`);
  if (LEVELS.indexOf(manifest.level) < LEAST_LEVEL) problems.push(`the level is only ${manifest.level}`);
  if (manifest.instance.architecture === 'cluster' || expected.shards > 1)
    problems.push(...proveCluster(manifest.files, manifest.backup).problems);
  const folder = backupFolder(place);
  for (const file of manifest.files) {
    if (!file.key.startsWith(folder)) problems.push(`${file.key} is not in its folder`);
    if (file.bytes !== file.sourceBytes)
      problems.push(`${file.name} has ${file.bytes} bytes of the source's ${file.sourceBytes}`);
    if (file.rdb.verdict !== 'sound' && file.rdb.verdict !== 'unverifiable')
      problems.push(`${file.name} is ${file.rdb.verdict}`);
  }
  return problems;
}

async function fileProblems(
  store: ObjectStore,
  file: ManifestFile,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const head = await store.head(file.key, signal);
  if (head === undefined) return [`${file.name} is not there`];
  return [
    ...(head.bytes === file.bytes
      ? []
      : [`${file.name} has ${head.bytes} bytes and should have ${file.bytes}`]),
    ...(head.crc64 === file.crc64
      ? []
      : [`${file.name} has the CRC-64 ${head.crc64 ?? '(none)'} and should have ${file.crc64}`]),
  ];
}
