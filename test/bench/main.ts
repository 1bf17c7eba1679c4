/**
 * The bench: backups through the uploader, beside other ways to move them, over loopback. `--help` says what can be
 * asked for, docs/bench.md how it is measured.
 */
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { renewDocs, toJson } from './docs.ts';
import { describeRecipe, obtainFile, type RecipeName } from './files.ts';
import { twoCores, type Cores } from './machine.ts';
import { HELP, parseOptions, type Options } from './options.ts';
import type { Results, Section } from './results.ts';
import {
  measureByFiles,
  measureBySize,
  measureKill,
  measureSection,
  type Bench,
  type Subject,
} from './sections.ts';
import type { ServersPlan } from './servers/servers.ts';
import { playServers } from './stand.ts';
import { toText } from './tables.ts';

const CACHE = join(__dirname, '../../node_modules/.cache/tairlift-bench');
const QUICK_BYTES = 24 * 1024 ** 2;
const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'servers') {
    await playServers(JSON.parse(args[1] ?? '') as ServersPlan); // from openStand
    return new Promise(() => undefined);
  }
  let options: Options | undefined;
  try {
    options = parseOptions(args);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return EXIT.usage;
  }
  if (options === undefined) {
    process.stdout.write(HELP);
    return EXIT.done;
  }
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  try {
    const results = await measureAll(options, interruption.signal);
    process.stdout.write(`${toText(results)}\n`);
    if (options.json !== undefined) await writeFile(options.json, toJson(results));
    if (options.docs !== undefined) await renewDocs(options.docs, results);
    return hasFailures(results) ? EXIT.failed : EXIT.done;
  } catch (error) {
    if (interruption.signal.aborted) return EXIT.interrupted;
    throw error;
  }
}

async function measureAll(options: Options, signal: AbortSignal): Promise<Results> {
  const cores = twoCores();
  const bench: Bench = { options, cores, signal, progress: say };
  const sections: Section[] = [];
  for (const setting of options.settings)
    for (const subject of await subjectsFor(setting, options))
      sections.push(await measureSection(setting, subject, bench));
  return {
    machine: {
      node: process.version,
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      pinning: pinningOf(cores),
    },
    isQuick: options.isQuick,
    sections,
    bySize: options.growth ? await measureBySize(bench) : [],
    byFiles: options.growth ? await measureByFiles(bench) : [],
    ...(options.kill ? { kill: await measureKill(bench) } : {}),
  };
}

/** The shaped link is slow: one file is enough to see what lanes bring. */
async function subjectsFor(
  setting: Options['settings'][number],
  options: Options,
): Promise<readonly Subject[]> {
  if (options.isQuick)
    return [{ name: 'quick', files: [{ name: 'quick.rdb', syntheticBytes: QUICK_BYTES }] }];
  const names: readonly RecipeName[] = setting === 'shaped' ? ['large'] : options.files;
  const subjects: Subject[] = [];
  for (const name of names) {
    const { path, bytes, keys } = await obtainFile(name, CACHE, say);
    say(`${name}: ${describeRecipe(name)}, ${(bytes / 1e6).toFixed(0)} MB, ${keys} keys`);
    subjects.push({ name, files: [{ name: `${name}.rdb`, path }], keys });
  }
  return subjects;
}

function pinningOf(cores: Cores | undefined): string {
  if (cores === undefined) return 'Nobody keeps to a core: there is no taskset, or no second core';
  return `The client keeps to core ${cores.client}, the servers to core ${cores.servers}`;
}

function hasFailures({ sections }: Results): boolean {
  return sections.some(({ rows }) => rows.some(({ failed }) => failed !== undefined));
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(error instanceof Error ? error.message : String(error));
    process.exit(EXIT.failed);
  },
);
