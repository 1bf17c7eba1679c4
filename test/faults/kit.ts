/** What all cases of a run share: the built functions, and the files that they back up. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeShardFiles } from '../doubles/shard-file.ts';
import { flipped } from './troubles.ts';
import { writeFile, writeSourceFile, type SourceFile } from './source-file.ts';

export interface Kit {
  readonly functions: BuiltFunctions;
  readonly files: SourceFiles;
  close(): void;
}

/** The built functions, as they are packaged; a copy, so that a build in between changes nothing under a run. */
interface BuiltFunctions {
  /** Folders of code. */
  readonly uploader: string;
  readonly orchestrator: string;
  /** Files. */
  readonly host: string;
  readonly fastTime: string;
}

export interface SourceFiles {
  /** Several parts. */
  readonly large: SourceFile;
  /** As long, with other values. */
  readonly otherLarge: SourceFile;
  /** Two parts: for what happens once a file. */
  readonly medium: SourceFile;
  /** One put. */
  readonly small: SourceFile;
  readonly otherSmall: SourceFile;
  /** Of a cluster of three. */
  readonly shards: readonly SourceFile[];
  readonly cut: SourceFile;
  readonly corrupt: SourceFile;
  readonly empty: SourceFile;
  readonly page: SourceFile;
  readonly unsupported: SourceFile;
}

const MIB = 1024 ** 2;

export function openKit(): Kit {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-fault-kit-'));
  try {
    return {
      functions: copyFunctions(folder),
      files: writeFiles(folder),
      close: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function copyFunctions(folder: string): BuiltFunctions {
  const built = join(rootFolder(), 'dist');
  for (const name of ['uploader', 'orchestrator', 'function-host', 'fast-time']) {
    if (!existsSync(join(built, name, 'index.js')))
      throw new Error(`copy ${name}: it is not in ${built}; run \`npm run build\` first`);
    cpSync(join(built, name), join(folder, name), { recursive: true });
  }
  return {
    uploader: join(folder, 'uploader'),
    orchestrator: join(folder, 'orchestrator'),
    host: join(folder, 'function-host', 'index.js'),
    fastTime: join(folder, 'fast-time', 'index.js'),
  };
}

function writeFiles(folder: string): SourceFiles {
  const path = (name: string): string => join(folder, `${name}.rdb`);
  const fixture = (name: string): string => join(rootFolder(), 'test', 'fixtures', 'rdb', `${name}.rdb`);
  const real = fixture('gen__gen-redis7.0.15');
  const large = writeSourceFile(path('large'), real, 20e6, 'large');
  const bytes = readFileSync(large.path);
  return {
    large,
    otherLarge: writeSourceFile(path('other-large'), real, 20e6, 'large', 'other'),
    medium: writeSourceFile(path('medium'), real, 9e6, 'medium'),
    small: writeFile(path('small'), readFileSync(real)),
    otherSmall: writeFile(path('other-small'), readFileSync(fixture('gen__gen-redis7.2.6'))),
    shards: writeShardFiles(folder, 3).map((shard) => ({ path: shard, bytes: statSync(shard).size })),
    cut: writeFile(path('cut'), bytes.subarray(0, 12 * MIB + 12_345)),
    corrupt: writeFile(path('corrupt'), flipped(bytes, 17 * MIB + 99)),
    empty: writeFile(path('empty'), Buffer.alloc(0)),
    page: writeFile(path('page'), Buffer.from('<html><body>Bad Gateway</body></html>')),
    // A value of a module from before modules could be skipped (type 6).
    unsupported: writeFile(
      path('unsupported'),
      Buffer.concat([Buffer.from('REDIS0008'), Buffer.from([6, 1, 0x6b, 0x81]), Buffer.alloc(64, 1)]),
    ),
  };
}

/** Walks up from here, which works from the sources and from a bundle. */
export function rootFolder(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) throw new Error(`find the project: no package.json above ${__dirname}`);
    folder = dirname(folder);
  }
  return folder;
}
