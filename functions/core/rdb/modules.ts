/**
 * Values of modules. Since RDB 8 they describe themselves (a row of tagged parts up to an end tag), so those of
 * unknown modules, and Tair's among them, are walked, counted and digested without being understood.
 *
 * Source: rdbLoadCheckModuleValue in rdb.c and moduleTypeNameByID in module.c.
 */
import type { ValueContext } from './context.ts';
import { createValueContext } from './context.ts';
import type { ContentDigest } from './digest.ts';
import { corrupt } from './fault.ts';
import { TYPE } from './format.ts';
import type { Parse } from './input.ts';
import { Input } from './input.ts';
import { NOWHERE, Texts } from './texts.ts';

const NAME_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Version and checksum at the end of a dump. */
const DUMP_FOOTER_BYTES = 10;

const PART_END = 0;
const PART_SIGNED = 1;
const PART_UNSIGNED = 2;
const PART_FLOAT = 3;
const PART_DOUBLE = 4;
const PART_STRING = 5;

/** Reads a module value as a key's value. */
export function* readModule(context: ValueContext): Parse<void> {
  const { input, digest } = context;
  input.begin('the module of a module value');
  const [high, low] = yield* input.wide();
  context.countModule(moduleName(high, low));
  digest.block(low, high, 0, 0);
  yield* readParts(context, true);
}

/**
 * Says what a module value holds, from the answer to `DUMP`: the type, the value as in a file, ten bytes of version
 * and checksum. Throws if it is anything else.
 */
export function sayModuleDump(digest: ContentDigest, dump: Uint8Array): void {
  if (dump[0] !== TYPE.module) corrupt(`a dump of type ${dump[0] ?? 'nothing'} where a module value must be`);
  const input = new Input();
  input.supply(dump.subarray(1, Math.max(1, dump.length - DUMP_FOOTER_BYTES)));
  const parse = readModule(createValueContext(input, new Texts(input), digest, () => undefined));
  if (parse.next().done !== true || !input.isUsedUp())
    corrupt('a dump of a module value that does not end where it should');
}

/** Reads what a module stores beside its keys. */
export function* readModuleAux(context: ValueContext): Parse<void> {
  const { input } = context;
  yield* input.wide();
  const tag = yield* input.length();
  if (tag !== PART_UNSIGNED) corrupt(`tag ${tag} where the time of module data must be`);
  yield* input.length();
  yield* readParts(context, false);
}

/** Reads the classes of metadata in front of a key (Redis 8.6): how many, then of each its kind and a module value. */
export function* readKeyMetadata(context: ValueContext): Parse<void> {
  const { input } = context;
  let left = yield* input.length();
  for (; left > 0; left--) {
    yield* input.take(4);
    input.position += 4;
    yield* readParts(context, false);
  }
}

function* readParts({ input, texts, digest }: ValueContext, isDigested: boolean): Parse<void> {
  for (;;) {
    input.begin('a part of module data');
    const tag = yield* input.length();
    if (tag === PART_END) return;
    let high = 0;
    let low = 0;
    if (tag === PART_SIGNED || tag === PART_UNSIGNED) {
      [high, low] = yield* input.wide();
    } else if (tag === PART_FLOAT || tag === PART_DOUBLE) {
      yield* input.take(tag === PART_FLOAT ? 4 : 8);
      low = input.int32LittleEndian();
      if (tag === PART_DOUBLE) high = input.int32LittleEndian();
    } else if (tag !== PART_STRING) {
      corrupt(`unknown tag ${tag}`);
    }
    if (isDigested) digest.block(tag, low, high, 0);
    if (tag === PART_STRING) yield* texts.pass(isDigested ? digest : NOWHERE);
  }
}

/** Nine characters of six bits, above ten bits of version. */
function moduleName(high: number, low: number): string {
  let name = '';
  for (let shift = 58; shift >= 10; shift -= 6) name += NAME_CHARACTERS[bitsAt(high, low, shift)];
  return name;
}

function bitsAt(high: number, low: number, shift: number): number {
  if (shift >= 32) return (high >>> (shift - 32)) & 63;
  return shift > 26 ? ((low >>> shift) | (high << (32 - shift))) & 63 : (low >>> shift) & 63;
}
