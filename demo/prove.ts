/** The proof of the demo: what is in the bucket is loaded into fresh servers, and they hold what the sources hold. */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { loadRdb } from '../emulator/redis/redis-process.ts';
import { compareFingerprints } from '../functions/core/proof/compare-fingerprints.ts';
import { fingerprintServer } from '../functions/core/proof/server-fingerprint.ts';
import type { ContentSummary, LogicalType } from '../functions/core/rdb/report.ts';
import type { Manifest, ManifestFile } from '../functions/core/repository/manifest.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { connectTo } from './server-connection.ts';

export interface Comparison {
  readonly instance: string;
  readonly shard: number;
  readonly key: string;
  readonly bytes: number;
  readonly keys: number;
  /** What the loaded copy holds against the manifest's fingerprint, and against the live source. */
  readonly equalsManifest: boolean;
  readonly equalsSource: boolean;
  /** Every difference, as sentences; empty when both are equal. */
  readonly differences: readonly string[];
}

/**
 * Loads one stored file into a fresh server and compares.
 * @param sourcePort where the shard that it came from still runs
 */
export async function proveFile(
  store: ObjectStore,
  manifest: Manifest,
  file: ManifestFile,
  sourcePort: number,
  signal: AbortSignal,
): Promise<Comparison> {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-demo-'));
  try {
    const path = join(folder, file.name);
    await pipeline(store.read(file.key, signal), createWriteStream(path), { signal });
    const copy = await loadRdb(path);
    try {
      const [held, live] = await Promise.all([contentsOf(copy.port), contentsOf(sourcePort)]);
      const fromManifest = compareFingerprints(summaryOfFile(file), held);
      const fromSource = compareFingerprints(live, held);
      return {
        instance: manifest.instance.id,
        shard: file.shard,
        key: file.key,
        bytes: file.bytes,
        keys: held.keys,
        equalsManifest: fromManifest.length === 0,
        equalsSource: fromSource.length === 0,
        differences: [
          ...fromManifest.map(
            ({ what, file: then, server }) =>
              `${what}: the manifest says ${then}, the loaded copy has ${server}`,
          ),
          ...fromSource.map(
            ({ what, file: there, server }) =>
              `${what}: the source has ${there}, the loaded copy has ${server}`,
          ),
        ],
      };
    } finally {
      await copy.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function contentsOf(port: number): Promise<ContentSummary> {
  const connection = connectTo(port);
  try {
    return await fingerprintServer(connection);
  } finally {
    connection.close();
  }
}

function summaryOfFile({ rdb }: ManifestFile): ContentSummary {
  const types: Partial<Record<LogicalType, number>> = {};
  // A manifest's types are the logical types by their own names.
  for (const [type, count] of Object.entries(rdb.types)) types[type as LogicalType] = count.keys;
  return { keys: rdb.keys, expires: rdb.expires, databases: rdb.databases, types, digest: rdb.digest };
}
