/**
 * The file from its magic to its checksum: opcodes and keys in the order in which they come.
 *
 * Source: rdbLoadRioWithLoadingCtx in rdb.c of Redis 8 and of Valkey 9.
 */
import type { ValueContext } from './context.ts';
import { createValueContext } from './context.ts';
import type { ContentDigest, DigestState } from './digest.ts';
import { corrupt, unsupported } from './fault.ts';
import type { FastKeys } from './fast-keys.ts';
import { FileFacts, printable, type FactsState } from './fingerprint.ts';
import {
  CHECKSUM_BYTES,
  FIRST_VERSION_WITH_CHECKSUM,
  HELD_BYTES_MAX,
  MAGIC_BYTES,
  NEWEST_REDIS_VERSION,
  OPCODE,
  TYPE,
  VALKEY_VERSION,
  isOpcode,
  logicalTypeOf,
  whyUnreadable,
} from './format.ts';
import type { Input, Parse } from './input.ts';
import { bytesOf } from './input.ts';
import { readKeyMetadata, readModuleAux } from './modules.ts';
import type { LogicalType, Problem, Verdict } from './report.ts';
import { Seen, identitiesOf, type Identity } from './seen.ts';
import { NOWHERE, Texts } from './texts.ts';
import { readValue, takeCompactValue } from './values.ts';

/** Keys that are compared with each other; the ones after that are not. 8 MiB of memory. */
const COMPARED_KEYS_MAX = 256 * 1024;
const DATABASE_MAX = 2 ** 31 - 1;

/** Plain data, for JSON: where a reader is between two keys, and what it knows of everything before. */
export interface ReaderState {
  readonly offset: number;
  readonly database: number;
  readonly comparesKeys: boolean;
  readonly facts: FactsState;
  readonly digest: DigestState;
}

export class FileReader {
  readonly facts = new FileFacts();
  /** Something that makes the file unfit, but does not keep the rest from being read; the first one. */
  complaint: { readonly verdict: Verdict; readonly problem: Problem } | undefined;
  /** What stands at the end: zero if its writer had checksums off, undefined if there is none or it was not reached. */
  checksum: bigint | undefined;

  private readonly input: Input;
  private readonly digest: ContentDigest;
  private readonly keys: Texts;
  private readonly texts: Texts;
  private readonly values: ValueContext;
  private readonly seenKeys = new Seen(COMPARED_KEYS_MAX);
  private readonly heldBytesMax: number;
  private fast: FastKeys | undefined;
  /** The current key, as it is compared with others. */
  private identity: Identity = { a: 0, b: 0, c: 0, d: 0 };
  private isRestored = false;
  /** Where the reader last was between two keys, in the file. */
  private pausedAt: number | undefined;
  private database = 0;
  private isInKey = false;
  /** Of the next key. */
  private expires = false;
  private expiryLow = 0;
  private expiryHigh = 0;

  constructor(input: Input, digest: ContentDigest, heldBytesMax = HELD_BYTES_MAX) {
    this.input = input;
    this.heldBytesMax = heldBytesMax;
    this.digest = digest;
    digest.identifiesKeys = true;
    this.keys = new Texts(input, heldBytesMax);
    this.texts = new Texts(input, heldBytesMax);
    this.values = createValueContext(
      input,
      this.texts,
      digest,
      (name) => this.facts.nameModule(name),
      heldBytesMax,
    );
  }

  /** Goes on where another reader was between two keys, and knows what that one knew. */
  restore(state: ReaderState, identities: Int32Array): void {
    this.input.startAt(state.offset);
    this.database = state.database;
    this.facts.restore(state.facts);
    this.digest.restore(state.digest);
    for (const identity of identitiesOf(identities)) this.seenKeys.add(identity);
    if (!state.comparesKeys) this.seenKeys.stop();
    this.digest.identifiesKeys = state.comparesKeys;
    this.isRestored = true;
    this.pausedAt = state.offset;
  }

  /** What is known of everything up to the last point between two keys; undefined before there is one. */
  save(): ReaderState | undefined {
    const { facts, fast, digest } = this;
    if (this.pausedAt === undefined) return undefined;
    if (fast !== undefined) facts.slots.addAll(fast.slots());
    return {
      offset: this.pausedAt,
      database: this.database,
      comparesKeys: this.comparesKeys(),
      facts: facts.save(),
      digest: digest.save(),
    };
  }

  /** The keys that are compared with each other, without the one that is being read: four words each. */
  identities(): Int32Array {
    if (!this.comparesKeys()) return new Int32Array(0);
    return (this.fast ?? this.seenKeys).identities(this.isInKey ? this.identity : undefined);
  }

  /** From here on most keys are taken by the fast loop. Only for a reader whose digest nobody else listens to. */
  useFast(fast: FastKeys): void {
    for (const identity of identitiesOf(this.seenKeys.identities())) fast.add(identity);
    if (this.seenKeys.isFull()) fast.stopComparing();
    this.seenKeys.forget();
    this.fast = fast;
    this.values.fast = fast;
  }

  /** Takes back what the fast loop knows, so that it can be used for something else. */
  endFast(): void {
    if (this.fast !== undefined) this.facts.slots.addAll(this.fast.slots());
    this.fast = undefined;
    this.values.fast = undefined;
  }

  *read(): Parse<void> {
    if (!this.isRestored) yield* this.readHeader();
    yield* this.readBody();
    if (this.facts.version < FIRST_VERSION_WITH_CHECKSUM) return;
    this.input.begin('the checksum');
    yield* this.input.take(CHECKSUM_BYTES);
    const low = this.input.int32LittleEndian() >>> 0;
    const high = this.input.int32LittleEndian() >>> 0;
    this.checksum = (BigInt(high) << 32n) | BigInt(low);
  }

  /** The problem with what is being read now. */
  problem(reason: string): Problem {
    const { input, facts, database } = this;
    const at = { offset: input.startedAt, doing: input.doing, reason };
    return this.isInKey ? { ...at, database, key: facts.printableKey() } : at;
  }

  private *readHeader(): Parse<void> {
    const { input, facts } = this;
    input.begin('the header');
    let magic = '';
    for (let size = 1; size <= MAGIC_BYTES; size++) {
      yield* input.take(size);
      magic = String.fromCharCode(...input.bytes.subarray(input.position, input.position + size));
      if (!isMagicPrefix(magic))
        corrupt(
          `the file begins with "${printable(Buffer.from(magic, 'latin1'), 40)}", neither REDIS nor VALKEY`,
        );
    }
    input.position += MAGIC_BYTES;
    facts.dialect = magic.startsWith('VALKEY') ? 'valkey' : 'redis';
    facts.version = Number(magic.slice(facts.dialect === 'valkey' ? 6 : 5));
    const isKnown =
      facts.dialect === 'valkey'
        ? facts.version === VALKEY_VERSION
        : facts.version >= 1 && facts.version <= NEWEST_REDIS_VERSION;
    if (!isKnown) this.complain('unsupported', `version ${facts.version} is not known to this reader`);
  }

  private *readBody(): Parse<void> {
    const { input, keys, facts } = this;
    for (;;) {
      if (!this.expires) {
        if (this.fast !== undefined) this.takeKeys(this.fast);
        this.pausedAt = input.offset();
      }
      input.begin('a type or opcode');
      if (input.lacks(1)) yield 1;
      const code = input.byte();
      if (code === OPCODE.end) return;
      if (isOpcode(code)) {
        if (!this.takeOpcode(code)) yield* this.readOpcode(code);
        continue;
      }
      const type = logicalTypeOf(code, facts.dialect) ?? unsupported(whyUnreadable(code));
      input.begin('a key');
      const start = input.startedAt;
      if (!keys.take()) yield* keys.whole();
      this.beginKey(type);
      // Most values are whole before the reader; generators cost, so they are for those that are not.
      if (!this.takeValue(code)) {
        facts.keepKey();
        yield* this.readValue(code);
      }
      this.endKey(type, start);
    }
  }

  private takeKeys(fast: FastKeys): void {
    const { input, digest, facts, database, heldBytesMax } = this;
    if (!input.isInChunk()) return;
    const isStrict = facts.dialect === 'valkey';
    const limits = { biggestFrom: facts.biggestFrom, heldBytesMax, isStrict };
    input.position = fast.take(input.bytes, input.position, input.end, database, limits, (taken) => {
      digest.addTaken(database, taken);
      facts.addTaken(taken);
    });
  }

  /** Takes a value that is whole before the reader and needs no keeping of its key; else says false and reads nothing. */
  private takeValue(type: number): boolean {
    if (type !== TYPE.string) {
      // A compressed or integer key is in a buffer that its value does not touch; any other is still in the window.
      return takeCompactValue(this.values, type);
    }
    const { input, texts, digest } = this;
    input.begin('a string value');
    if (!texts.take()) return false;
    digest.text(texts.bytes, texts.start, texts.end);
    return true;
  }

  private *readValue(type: number): Parse<void> {
    if (type === TYPE.string) yield* this.texts.pass(this.digest);
    else yield* readValue(this.values, type, this.facts.dialect);
  }

  private beginKey(type: LogicalType): void {
    const { keys, digest, database } = this;
    this.facts.beginKey(database, keys.bytes, keys.start, keys.end);
    this.isInKey = true;
    digest.beginKey(database, type, keys, this.expires, this.expiryLow, this.expiryHigh);
    if (!digest.identifiesKeys) return;
    const { fast, seenKeys } = this;
    const { a, b, c, d } = digest.keyIdentity();
    this.identity = { a, b, c, d };
    if ((fast ?? seenKeys).add(this.identity)) this.complain('corrupt', 'the same key is there twice');
    digest.identifiesKeys = this.comparesKeys();
  }

  private comparesKeys(): boolean {
    return this.fast?.comparesKeys() ?? !this.seenKeys.isFull();
  }

  private endKey(type: LogicalType, start: number): void {
    this.digest.endKey();
    this.facts.endKey(this.database, type, this.input.offset() - start);
    this.isInKey = false;
    this.expires = false;
  }

  /** Takes an expiry that is whole before the reader, as stands before many keys; else says false and reads nothing. */
  private takeOpcode(code: number): boolean {
    const { input } = this;
    if (code !== OPCODE.expireMs || input.lacks(8)) return false;
    this.expires = true;
    this.expiryLow = input.int32LittleEndian();
    this.expiryHigh = input.int32LittleEndian();
    return true;
  }

  private *readOpcode(code: number): Parse<void> {
    const { input, texts, facts } = this;
    switch (code) {
      case OPCODE.expireMs:
        input.begin('the expiry of a key');
        yield* input.take(8);
        this.takeOpcode(code);
        return;
      case OPCODE.expireSeconds: {
        input.begin('the expiry of a key');
        yield* input.take(4);
        const ms = input.int32LittleEndian() * 1000;
        this.expires = true;
        this.expiryLow = ms | 0;
        this.expiryHigh = Math.floor(ms / 2 ** 32);
        return;
      }
      case OPCODE.frequency:
        input.begin('the access frequency of a key');
        yield* input.take(1);
        input.position++;
        return;
      case OPCODE.idle:
        input.begin('the idle time of a key');
        yield* input.length();
        return;
      case OPCODE.selectDatabase:
        input.begin('the number of a database');
        this.database = yield* input.length();
        if (this.database > DATABASE_MAX) corrupt(`no server has a database ${this.database}`);
        return;
      case OPCODE.resizeDatabase:
        input.begin('the size of a database');
        yield* input.length();
        yield* input.length();
        return;
      case OPCODE.aux: {
        input.begin('an aux field');
        yield* texts.whole();
        const name = printable(bytesOf(texts.bytes, texts.start, texts.end), 100);
        yield* texts.whole();
        facts.addAux(name, bytesOf(texts.bytes, texts.start, texts.end));
        return;
      }
      case OPCODE.moduleAux:
        input.begin('data of a module');
        yield* readModuleAux(this.values);
        return;
      case OPCODE.function2:
        input.begin('a function library');
        yield* texts.pass(NOWHERE);
        facts.functions++;
        return;
      case OPCODE.functionPreview:
        yield* this.readFunctionPreview();
        return;
      case OPCODE.slotInfo:
        input.begin('the size of a slot');
        yield* input.length();
        yield* input.length();
        yield* input.length();
        return;
      case OPCODE.keyMeta:
        yield* facts.dialect === 'valkey' ? this.readSlotImport() : this.readKeyMeta();
        return;
      default:
        input.begin('a Redis Enterprise opcode');
        yield* input.length();
    }
  }

  /** Name, engine, whether there is a description, the description, the code: only in Redis 7.0 RC 1 and 2. */
  private *readFunctionPreview(): Parse<void> {
    const { input, texts, facts } = this;
    input.begin('a function of a release candidate');
    yield* texts.pass(NOWHERE);
    yield* texts.pass(NOWHERE);
    const hasDescription = yield* input.length();
    if (hasDescription > 0) yield* texts.pass(NOWHERE);
    yield* texts.pass(NOWHERE);
    facts.functions++;
  }

  /** Redis 8.6, in front of the type of a key. */
  private *readKeyMeta(): Parse<void> {
    this.input.begin('the metadata of a key');
    yield* readKeyMetadata(this.values);
  }

  /** Valkey 9: a job's name and the slots that it is importing. */
  private *readSlotImport(): Parse<void> {
    const { input, texts } = this;
    input.begin('a slot import');
    yield* texts.pass(NOWHERE);
    let ranges = yield* input.length();
    for (; ranges > 0; ranges--) {
      yield* input.length();
      yield* input.length();
    }
  }

  private complain(verdict: Verdict, reason: string): void {
    this.complaint ??= { verdict, problem: this.problem(reason) };
  }
}

function isMagicPrefix(text: string): boolean {
  return (
    'REDIS'.startsWith(text) || 'VALKEY'.startsWith(text) || /^(?:REDIS\d{0,4}|VALKEY\d{0,3})$/.test(text)
  );
}
