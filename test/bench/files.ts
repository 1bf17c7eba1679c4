/**
 * The files that are moved: written by a real server, once, and kept in a cache until their recipe changes. Large
 * values are what a cache of pages holds, tiny keys what costs a reader most, the mixed file what most databases are.
 */
import { randomFillSync } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChainableCommander, Redis } from 'ioredis';
import * as z from 'zod';
import { startRedis } from '../../emulator/redis/redis-process.ts';
import type { RdbFile } from './rdb-file.ts';

export const RECIPES = ['large', 'mixed', 'tiny'] as const;
export type RecipeName = (typeof RECIPES)[number];

/** Counts up when what it writes changes: then the files that are kept are written anew. */
interface Recipe {
  readonly version: number;
  readonly says: string;
  readonly serverArgs: readonly string[];
  fill(redis: Redis): Promise<void>;
}

const HOUR_MS = 3_600_000;
const COMMANDS_AT_ONCE = 500;

const RECIPE: Readonly<Record<RecipeName, Recipe>> = {
  large: {
    version: 1,
    says: 'values of 256 KiB',
    serverArgs: ['--rdbcompression', 'no'],
    fill: async (redis) => {
      const value = Buffer.alloc(256 * 1024);
      for (let n = 0; n < 4_000; n++) await redis.set(`page:${n}`, randomFillSync(value));
    },
  },
  mixed: { version: 2, says: 'all types, two databases', serverArgs: [], fill: fillMixed },
  tiny: {
    version: 1,
    says: 'keys and values of about 13 bytes together',
    serverArgs: ['--enable-debug-command', 'yes'],
    fill: async (redis) => {
      for (const database of [0, 1]) {
        await redis.select(database);
        await redis.call('DEBUG', 'POPULATE', '10500000', 'k', '1');
      }
    },
  },
};

export function describeRecipe(name: RecipeName): string {
  return RECIPE[name].says;
}

const noteSchema = z.object({ bytes: z.number(), keys: z.number() });

/**
 * The path of the file, written first if it is not there as it was left. Throws in one sentence when no server can be
 * had or it fails.
 */
export async function obtainFile(
  name: RecipeName,
  folder: string,
  say: (line: string) => void,
): Promise<RdbFile> {
  const recipe = RECIPE[name];
  const path = join(folder, `${name}-v${recipe.version}.rdb`);
  const kept = await readKept(path);
  if (kept !== undefined) return { path, ...kept };

  say(`writing the file "${name}" with a real server; it is kept in ${folder}`);
  await mkdir(folder, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), 'tairlift-bench-'));
  try {
    const server = await startRedis({ folder: scratch, args: recipe.serverArgs });
    let keys = 0;
    try {
      await recipe.fill(server.client);
      for (const database of [0, 1]) {
        await server.client.select(database);
        keys += await server.client.dbsize();
      }
      await server.client.save();
    } finally {
      await server.stop();
    }
    const { size } = await stat(join(scratch, 'dump.rdb'));
    // The temporary folder may be on another disk; what is half copied has another name.
    await copyFile(join(scratch, 'dump.rdb'), `${path}.partial`);
    await rename(`${path}.partial`, path);
    await writeFile(`${path}.json`, JSON.stringify({ bytes: size, keys }));
    return { path, bytes: size, keys };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function readKept(path: string): Promise<Pick<RdbFile, 'bytes' | 'keys'> | undefined> {
  try {
    const note = noteSchema.parse(JSON.parse(await readFile(`${path}.json`, 'utf8')));
    return (await stat(path)).size === note.bytes ? note : undefined;
  } catch {
    // Not there, or not as it was left: it is written again.
    return undefined;
  }
}

async function fillMixed(redis: Redis): Promise<void> {
  const soon = Date.now() + 24 * HOUR_MS;
  await redis.select(0);
  for (let first = 0; first < 3_120_000; first += COMMANDS_AT_ONCE)
    await inOneGo(redis, COMMANDS_AT_ONCE, (commands, i) => addVaried(commands, first + i, soon));
  await inOneGo(redis, 180, addCollections);
  await inOneGo(redis, 900, addStream);
  await redis.select(1);
  for (let first = 0; first < 600_000; first += COMMANDS_AT_ONCE) {
    await inOneGo(redis, COMMANDS_AT_ONCE, (commands, i) => {
      const n = first + i;
      if (n % 3 === 0) commands.set(`cart:${n}`, textOf(n, 180), 'PXAT', soon + n);
      else commands.set(`visits:${n}`, n * 7919);
    });
  }
}

/** The everyday key: most are strings, many end some day, the rest are small collections in their compact encodings. */
function addVaried(commands: ChainableCommander, n: number, soon: number): void {
  switch (n % 10) {
    case 0:
    case 1:
    case 2: {
      commands.set(`session:${n}`, sessionOf(n), 'PXAT', soon + n * 10);
      break;
    }
    case 3: {
      commands.set(`token:${n}`, randomFillSync(Buffer.alloc(160 + (n % 300))));
      break;
    }
    case 4: {
      commands.set(`counter:${n}`, n * 31 - 1_000_000);
      break;
    }
    case 5: {
      commands.set(`page:${n}`, `<p>${'all work and no play '.repeat(30)}${n}</p>`);
      break;
    }
    case 6: {
      commands.hset(`user:${n}`, {
        name: `user ${n}`,
        mail: `user${n}@example.test`,
        visits: n,
        about: textOf(n, 120 + (n % 200)),
        seen: soon - n,
      });
      if (n % 4 === 0) commands.pexpireat(`user:${n}`, soon + n);
      break;
    }
    case 7: {
      commands.rpush(`queue:${n}`, ...several(6 + (n % 40), (j) => `job-${n}-${j}-${textOf(n + j, 12)}`));
      break;
    }
    case 8: {
      if (n % 20 === 8) commands.sadd(`ids:${n}`, ...several(5 + (n % 80), (j) => (n % 977) + j * 13));
      else commands.sadd(`tags:${n}`, ...several(5 + (n % 30), (j) => `tag-${textOf(n * 3 + j, 8)}`));
      break;
    }
    default: {
      const members = several(4 + (n % 40), (j) => [(n % 1000) + j / 7, `player-${textOf(n + j, 10)}`]);
      commands.zadd(`ranking:${n}`, ...members.flat());
    }
  }
}

/** Past the sizes at which the server changes to its large encodings. */
function addCollections(commands: ChainableCommander, n: number): void {
  commands.sadd(`large:set:${n}`, ...several(2_000, (j) => `member-${n}-${j}`));
  commands.hset(
    `large:hash:${n}`,
    Object.fromEntries(several(2_000, (j) => [`field-${j}`, textOf(n + j, 60)])),
  );
  commands.zadd(`large:zset:${n}`, ...several(2_000, (j) => [j * 1.5 - n, `member-${j}`]).flat());
  commands.rpush(`large:list:${n}`, ...several(2_000, (j) => `element-${j}-${textOf(j, j % 100)}`));
}

function addStream(commands: ChainableCommander, n: number): void {
  const stream = `events:${n}`;
  for (let entry = 1; entry <= 120; entry++)
    commands.xadd(
      stream,
      `${entry}-1`,
      'kind',
      entry % 2 === 0 ? 'click' : 'view',
      'page',
      `/p/${textOf(entry, 20)}`,
    );
  commands.xgroup('CREATE', stream, 'billing', '0');
  commands.xgroup('CREATE', stream, 'audit', '50-1');
  commands.xreadgroup('GROUP', 'billing', 'worker-1', 'COUNT', 20, 'STREAMS', stream, '>');
  commands.xreadgroup('GROUP', 'audit', 'worker-2', 'COUNT', 10, 'STREAMS', stream, '>');
  commands.xack(stream, 'billing', '1-1', '2-1');
  commands.xdel(stream, '3-1');
}

function sessionOf(n: number): string {
  return JSON.stringify({
    user: n,
    roles: ['reader', 'writer'],
    token: textOf(n * 17, 60),
    seen: n * 31,
    path: '/',
  });
}

/** Letters without a pattern that a compressor would find, the same for the same number. */
function textOf(seed: number, length: number): string {
  let state = (seed + 1) >>> 0;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

function several<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** A pipeline resolves even when its commands fail; here a failed command is a failure. */
async function inOneGo(
  redis: Redis,
  count: number,
  add: (commands: ChainableCommander, index: number) => void,
): Promise<void> {
  const commands = redis.pipeline();
  for (let index = 0; index < count; index++) add(commands, index);
  for (const [error] of (await commands.exec()) ?? []) if (error !== null) throw error;
}
