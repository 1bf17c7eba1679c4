/**
 * Compiles the loops in functions/core/wasm/assembly into functions/core/wasm/loops.wasm, unless that is done already.
 * Bundles and tests load the result; it is not kept in the repository.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCES = 'functions/core/wasm/assembly';
const TARGET = 'functions/core/wasm/loops.wasm';

/**
 * No runtime and no garbage: all memory is laid out at compile time, and comes, zeroed, from whoever makes an instance.
 */
const FLAGS = [
  '-O3',
  '--noAssert',
  '--runtime=stub',
  '--enable=simd',
  '--importMemory',
  '--zeroFilledMemory',
  '--noExportMemory',
  '--use=abort=',
  '--disableWarning=201',
];

/** Also jest's `globalSetup`. */
export default async function buildWasm() {
  const stamp = await stampOf();
  const target = join(ROOT, TARGET);
  const stamped = `${target}.stamp`;
  if (existsSync(target) && existsSync(stamped) && (await readFile(stamped, 'utf8')) === stamp) return;
  // Loaded only when there is something to do: the compiler takes a second to start.
  const { main } = await import('assemblyscript/asc');
  const unfinished = `${TARGET}.${process.pid}`;
  let messages = '';
  const stderr = { write: (text) => (messages += text) };
  const { error } = await main([`${SOURCES}/index.ts`, ...FLAGS, '--baseDir', ROOT, '-o', unfinished], {
    stderr,
  });
  if (error !== null) throw new Error(`build ${TARGET}: ${messages}`, { cause: error });
  // Several may build at once, and others read meanwhile.
  await rename(join(ROOT, unfinished), target);
  await writeFile(stamped, stamp);
}

/** Changes with the sources, the flags and the compiler. */
async function stampOf() {
  const hash = createHash('sha256');
  hash.update(await readFile(fileURLToPath(import.meta.url)));
  hash.update(await readFile(join(ROOT, 'node_modules/assemblyscript/package.json')));
  for (const name of (await readdir(join(ROOT, SOURCES))).sort()) {
    hash.update(name);
    hash.update(await readFile(join(ROOT, SOURCES, name)));
  }
  return hash.digest('hex');
}
