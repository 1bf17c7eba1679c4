/** Tiny RDB files of the shards of a cluster: each with keys of its own slots only. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc64Jones } from '../../functions/core/crc64.ts';
import { SLOT_COUNT, slotOf } from '../../functions/core/rdb/slots.ts';

const KEYS_PER_SHARD = 20;
const DATABASE_0 = [0xfe, 0];
const STRING = 0;
const END = 0xff;

/** One file for each shard, in the order of their slots; returns their paths. */
export function writeShardFiles(folder: string, shards: number): readonly string[] {
  return Array.from({ length: shards }, (_, shard) => {
    const first = Math.floor((shard * SLOT_COUNT) / shards);
    const next = Math.floor(((shard + 1) * SLOT_COUNT) / shards);
    const path = join(folder, `shard-${shard + 1}-of-${shards}.rdb`);
    writeFileSync(path, rdbOf(keysIn(first, next)));
    return path;
  });
}

function keysIn(first: number, next: number): readonly string[] {
  const keys: string[] = [];
  for (let n = 0; keys.length < KEYS_PER_SHARD; n++) {
    const key = Buffer.from(`key:${n}`);
    const slot = slotOf(new DataView(key.buffer, key.byteOffset, key.length), 0, key.length);
    if (slot >= first && slot < next) keys.push(key.toString());
  }
  return keys;
}

function rdbOf(keys: readonly string[]): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const body = Buffer.concat([
    Buffer.from('REDIS0011'),
    Buffer.from(DATABASE_0),
    ...keys.flatMap((key) => [Buffer.from([STRING]), text(key), text(`value of ${key}`)]),
    Buffer.from([END]),
  ]);
  const crc = crc64Jones();
  crc.update(body);
  const checksum = Buffer.alloc(8);
  checksum.writeBigUInt64LE(crc.value());
  return Buffer.concat([body, checksum]);
}
