/** Builds a stored backup in a bucket: real RDB bytes, and the manifest that an uploader would write for them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc64Xz } from '../../functions/core/crc64.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { fileKey, manifestKey, type BackupPlace } from '../../functions/core/repository/keys.ts';
import {
  encodeManifest,
  type Manifest,
  type ManifestFile,
} from '../../functions/core/repository/manifest.ts';
import type { MemoryStore } from '../doubles/memory-store.ts';
import { evenSlots, shardFile } from '../doubles/shard-file.ts';

export const RDB = readFileSync(join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb'));

export function placeOf(instanceId: string, startedAt = '2026-11-20T18:00:00Z'): BackupPlace {
  const runId = `${startedAt.replaceAll(/[-:]/g, '')}-nightly`;
  return { prefix: '', instanceId, date: startedAt.slice(0, 10), runId };
}

export function fileOf(place: BackupPlace, shard: number, bytes: Buffer): ManifestFile {
  const scanner = createRdbScanner();
  scanner.write(bytes);
  const { verdict, fingerprint } = scanner.end();
  const crc = crc64Xz();
  crc.update(bytes);
  const { version, databases, keys, expires, types, slots, digest } = fingerprint;
  const name = `shard-${shard}.rdb`;
  return {
    shard,
    name,
    key: fileKey(place, name),
    bytes: bytes.length,
    sourceBytes: bytes.length,
    crc64: crc.value().toString(),
    parts: 1,
    rdb: { version, verdict, databases, keys, expires, types, slots, digest },
  };
}

/** The bytes of a shard's file: of a cluster's, keys in its own slots. */
export function bodyOf(shard: number, shards: number): Buffer {
  return shards === 1 ? Buffer.from(RDB) : shardFile({ slots: evenSlots(shard, shards), keys: 1500 });
}

/** Stores one file a shard and the manifest; returns both. */
export function storeBackup(
  store: MemoryStore,
  instanceId: string,
  { startedAt = '2026-11-20T18:00:00Z', shards = 1 } = {},
): { readonly key: string; readonly manifest: Manifest } {
  const place = placeOf(instanceId, startedAt);
  const files = Array.from({ length: shards }, (_, shard) => fileOf(place, shard, bodyOf(shard, shards)));
  for (const { key, shard } of files) store.objects.set(key, bodyOf(shard, shards));
  const manifest: Manifest = {
    version: 1,
    runId: place.runId,
    plan: 'nightly',
    instance: {
      region: 'cn-hangzhou',
      id: instanceId,
      name: '',
      engine: 'redis',
      engineVersion: '7.0',
      architecture: shards > 1 ? 'cluster' : 'standard',
      shards,
    },
    backup: { ids: ['1'], jobIds: ['2'], mode: 'manual', startedAt, endedAt: startedAt, adopted: false },
    files,
    level: 'parsed',
    durationMs: 5,
    tool: { name: 'tairlift', version: '0.1.0' },
  };
  const key = manifestKey(place);
  store.objects.set(key, encodeManifest(manifest));
  return { key, manifest };
}
