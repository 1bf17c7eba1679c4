/** RDB files for scenarios, sound and damaged, in a temporary folder. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRdbFile } from '../bench/rdb-file.ts';
import { evenSlots, shardFile, type ShardFile } from '../doubles/shard-file.ts';

const FIXTURES = join(__dirname, '..', 'fixtures', 'rdb');
/** There from `writeFiles` to `removeFiles`. */
const folder = join(tmpdir(), `tairlift-scenarios-${randomUUID()}`);

export const SMALL = join(FIXTURES, 'gen__gen-redis7.0.15.rdb');
export const OTHER = join(FIXTURES, 'gen__gen-redis7.2.6.rdb');
export const WITHOUT_CHECKSUM = join(FIXTURES, 'gen__gen-redis7.0.15-nocrc-nolzf.rdb');
/** Three parts. */
export const LARGE = join(folder, 'large.rdb');
export const CUT = join(folder, 'cut.rdb');
export const FLIPPED = join(folder, 'flipped.rdb');
export const FOREIGN = join(folder, 'foreign.rdb');
export const PAGE = join(folder, 'page.rdb');

const shards = new Map<string, ShardFile>();

/** The path of a shard's file, which `writeFiles` writes. */
export function shard(name: string, file: ShardFile): string {
  const path = join(folder, `${name}.rdb`);
  shards.set(path, file);
  return path;
}

/** Of a cluster of so many shards. */
export function shardsOf(
  count: number,
  more: Omit<ShardFile, 'slots'> & { readonly name?: string } = {},
): string[] {
  const { name = 'shard', ...content } = more;
  return Array.from({ length: count }, (_, index) =>
    shard(`${name}-${index}-of-${count}`, { ...content, slots: evenSlots(index, count) }),
  );
}

const LARGE_BYTES = 18 * 1024 * 1024;

export async function writeFiles(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await writeRdbFile(LARGE, LARGE_BYTES);
  for (const [path, content] of shards) writeFileSync(path, shardFile(content));
  const sound = readFileSync(SMALL);
  writeFileSync(CUT, sound.subarray(0, 40_000));
  const flipped = Buffer.from(sound);
  flipped.writeUInt8(flipped.readUInt8(30_000) ^ 4, 30_000);
  writeFileSync(FLIPPED, flipped);
  // A value of a module from before modules could be skipped (type 6).
  writeFileSync(
    FOREIGN,
    Buffer.concat([Buffer.from('REDIS0008'), Buffer.from([6, 1, 0x6b, 0x81]), Buffer.alloc(64, 1)]),
  );
  writeFileSync(PAGE, '<html><body>Bad Gateway</body></html>');
}

export function removeFiles(): void {
  rmSync(folder, { recursive: true, force: true });
}
