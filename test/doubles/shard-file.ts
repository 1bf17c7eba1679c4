/**
 * RDB files of a cluster's shards: small, sound, and each with keys in slots of its own, which is what files of one
 * backup have to be.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc64Jones } from '../../functions/core/crc64.ts';
import { slotOf, SLOT_COUNT } from '../../functions/core/rdb/slots.ts';

export interface ShardFile {
  /** First and last slot that its keys may be of. */
  readonly slots: readonly [number, number];
  /** 20 if left out. */
  readonly keys?: number;
  /** In the names of its keys: other keys for another tag. */
  readonly tag?: string;
  /** What it says of its own beginning; nothing if left out. */
  readonly createdAtMs?: number;
  /** Values of this module, `tairhash-`, instead of strings. */
  readonly module?: string;
}

const AUX = 0xfa;
const SELECT_DATABASE = 0xfe;
const END = 0xff;
const STRING = 0;
const MODULE = 7;
const LENGTH_64 = 0x81;
const PART_END = 0;
const PART_STRING = 5;

export function shardFile({ slots, keys = 20, tag = 'key', createdAtMs, module }: ShardFile): Buffer {
  const content = Buffer.concat([
    Buffer.from('REDIS0009'),
    aux('redis-ver', '6.0.9'),
    ...(createdAtMs === undefined ? [] : [aux('ctime', String(Math.floor(createdAtMs / 1000)))]),
    Buffer.from([SELECT_DATABASE, 0]),
    ...keysIn(slots, keys, tag).map((key) =>
      module === undefined
        ? Buffer.concat([Buffer.from([STRING]), text(key), text(`value of ${key}`)])
        : Buffer.concat([Buffer.from([MODULE]), text(key), moduleValue(module, key)]),
    ),
    Buffer.from([END]),
  ]);
  const jones = crc64Jones();
  jones.update(content);
  const checksum = Buffer.alloc(8);
  checksum.writeBigUInt64LE(jones.value());
  return Buffer.concat([content, checksum]);
}

/** Files of a whole cluster, the slots shared out evenly, in the order of the shards. */
export function writeShardFiles(
  folder: string,
  shards: number,
  more: Omit<ShardFile, 'slots'> & { readonly name?: string } = {},
): string[] {
  return Array.from({ length: shards }, (_, shard) => {
    const path = join(folder, `${more.name ?? 'shard'}-${shard}-of-${shards}.rdb`);
    writeFileSync(path, shardFile({ ...more, slots: evenSlots(shard, shards) }));
    return path;
  });
}

export function evenSlots(shard: number, shards: number): readonly [number, number] {
  const first = (index: number): number => Math.floor((index * SLOT_COUNT) / shards);
  return [first(shard), first(shard + 1) - 1];
}

function keysIn([first, last]: readonly [number, number], count: number, tag: string): string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number++) {
    const key = Buffer.from(`${tag}:${number}`);
    const slot = slotOf(new DataView(key.buffer, key.byteOffset, key.length), 0, key.length);
    if (slot >= first && slot <= last) keys.push(key.toString());
  }
  return keys;
}

function aux(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([AUX]), text(name), text(value)]);
}

/** Up to 63 bytes. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
}

const NAME_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function moduleValue(name: string, value: string): Buffer {
  let id = 0n;
  for (const character of name) id = (id << 6n) | BigInt(NAME_CHARACTERS.indexOf(character));
  const head = Buffer.alloc(9);
  head.writeUInt8(LENGTH_64, 0);
  head.writeBigUInt64BE((id << 10n) | 1n, 1);
  return Buffer.concat([head, Buffer.from([PART_STRING]), text(value), Buffer.from([PART_END])]);
}
