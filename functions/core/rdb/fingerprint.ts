import { bytesOf, viewOf } from './input.ts';
import { LOGICAL_TYPES } from './digest.ts';
import type { Dialect } from './format.ts';
import type { BigKey, ContentSummary, Fingerprint, LogicalType, TypeCount } from './report.ts';
import type { TakenKeys } from './fast-keys.ts';
import { SLOT_COUNT, SlotSet, slotOf } from './slots.ts';

const BIGGEST_KEYS = 10;
const PRINTABLE_BYTES_MAX = 100;
const AUX_FIELDS_MAX = 64;
const AUX_VALUE_BYTES_MAX = 256;
/** Fields that servers write anew for each key or slot. */
const REPEATED_AUX = new Set(['mvcc-tstamp', 'keydb-subexpire-key', 'keydb-subexpire-when', 'slot-info']);

/** Plain data, for JSON. */
export interface FactsState {
  readonly version: number;
  readonly dialect: Dialect;
  readonly functions: number;
  readonly aux: readonly (readonly [name: string, value: string])[];
  readonly bytesByType: Readonly<Partial<Record<LogicalType, number>>>;
  readonly modules: readonly (readonly [name: string, keys: number])[];
  readonly biggest: readonly BigKey[];
  /** A bit for each, lowest first, in base64. */
  readonly slots: string;
}

/** Collects, while a file is read, what only a file can tell: aux fields, sizes, slots, modules, functions. */
export class FileFacts {
  version = 0;
  dialect: Dialect = 'redis';
  functions = 0;
  /** The current key: where it was read, or what is kept of it. */
  private key = viewOf(new Uint8Array(0));
  private keyStart = 0;
  private keyEnd = 0;
  /** -1 if it need not be counted. */
  private slot = -1;
  private module: string | undefined;
  private readonly keptKey = new Uint8Array(PRINTABLE_BYTES_MAX + 1);
  private readonly keptKeyView = viewOf(this.keptKey);
  private readonly aux: Record<string, string> = Object.create(null) as Record<string, string>;
  private auxFields = 0;
  private readonly bytesByType: Partial<Record<LogicalType, number>> = {};
  private readonly modules: Record<string, number> = Object.create(null) as Record<string, number>;
  readonly slots = new SlotSet();
  private readonly biggest: BigKey[] = [];
  /** How many bytes a key must exceed to be among the biggest. */
  biggestFrom = 0;

  addAux(name: string, value: Uint8Array): void {
    if (REPEATED_AUX.has(name) || name in this.aux || this.auxFields === AUX_FIELDS_MAX) return;
    this.auxFields++;
    this.aux[name] = printable(value, AUX_VALUE_BYTES_MAX);
  }

  /** The module of the current key. */
  nameModule(name: string): void {
    this.module = name;
  }

  /** The key is where it was read; before anything else is read there, `keepKey` must be called. */
  beginKey(database: number, bytes: DataView, start: number, end: number): void {
    this.slot = database === 0 && !this.slots.isFull() ? slotOf(bytes, start, end) : -1;
    this.module = undefined;
    this.key = bytes;
    this.keyStart = start;
    this.keyEnd = end;
  }

  /** Keeps of the key what a person wants to see. */
  keepKey(): void {
    const { key, keyStart, keptKey } = this;
    const size = Math.min(this.keyEnd - keyStart, keptKey.length);
    for (let i = 0; i < size; i++) keptKey[i] = key.getUint8(keyStart + i);
    this.key = this.keptKeyView;
    this.keyStart = 0;
    this.keyEnd = size;
  }

  /** @param bytes of key and value in the file */
  endKey(database: number, type: LogicalType, bytes: number): void {
    const { slot, module } = this;
    if (slot >= 0) this.slots.add(slot);
    if (module !== undefined) this.modules[module] = (this.modules[module] ?? 0) + 1;
    this.addBytes(type, bytes);
    if (bytes > this.biggestFrom) this.rank({ database, key: this.printableKey(), type, bytes });
  }

  addBytes(type: LogicalType, bytes: number): void {
    this.bytesByType[type] = (this.bytesByType[type] ?? 0) + bytes;
  }

  /** Adds the bytes of keys that were read elsewhere. */
  addTaken({ bytesByType }: TakenKeys): void {
    for (const [index, bytes] of bytesByType.entries()) {
      const type = LOGICAL_TYPES[index];
      if (type !== undefined && bytes > 0) this.addBytes(type, bytes);
    }
  }

  private rank(key: BigKey): void {
    const { biggest } = this;
    biggest.push(key);
    biggest.sort((a, b) => b.bytes - a.bytes);
    if (biggest.length > BIGGEST_KEYS) biggest.pop();
    if (biggest.length === BIGGEST_KEYS) this.biggestFrom = biggest.at(-1)?.bytes ?? 0;
  }

  printableKey(): string {
    return printable(bytesOf(this.key, this.keyStart, this.keyEnd), PRINTABLE_BYTES_MAX);
  }

  /** What is known of all that was read to its end, to go on from there. */
  save(): FactsState {
    const { version, dialect, functions, aux, bytesByType, modules, biggest } = this;
    const slots = Buffer.alloc(SLOT_COUNT / 8);
    const seen = this.slots.all();
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      if (seen[slot] === 1) slots[slot >> 3] = (slots[slot >> 3] ?? 0) | (1 << (slot & 7));
    return {
      version,
      dialect,
      functions,
      aux: Object.entries(aux),
      bytesByType,
      modules: Object.entries(modules),
      biggest,
      slots: slots.toString('base64'),
    };
  }

  restore(state: FactsState): void {
    this.version = state.version;
    this.dialect = state.dialect;
    this.functions = state.functions;
    for (const [name, value] of state.aux) this.aux[name] = value;
    this.auxFields = state.aux.length;
    Object.assign(this.bytesByType, state.bytesByType);
    for (const [name, count] of state.modules) this.modules[name] = count;
    for (const key of state.biggest) this.rank(key);
    const slots = Buffer.from(state.slots, 'base64');
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      if ((((slots[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1) this.slots.add(slot);
  }

  report(contents: ContentSummary): Fingerprint {
    const types: Partial<Record<LogicalType, TypeCount>> = {};
    for (const type of LOGICAL_TYPES) {
      const keys = contents.types[type];
      if (keys !== undefined) types[type] = { keys, bytes: this.bytesByType[type] ?? 0 };
    }
    return {
      version: this.version,
      dialect: this.dialect,
      aux: { ...this.aux },
      keys: contents.keys,
      expires: contents.expires,
      databases: contents.databases,
      types,
      modules: { ...this.modules },
      functions: this.functions,
      biggest: [...this.biggest],
      slots: this.slots.report(),
      digest: contents.digest,
      ...(contents.unchecked === undefined ? {} : { unchecked: contents.unchecked }),
    };
  }
}

/** Bytes as text: ASCII as it is, anything else as `\xNN`, cut to `bytesMax` characters with an ellipsis. */
export function printable(bytes: Uint8Array, bytesMax: number): string {
  let text = '';
  for (const byte of bytes) {
    const next = byte >= 0x20 && byte < 0x7f && byte !== 0x5c ? String.fromCharCode(byte) : escaped(byte);
    if (text.length + next.length > bytesMax) return `${text.slice(0, bytesMax - 1)}…`;
    text += next;
  }
  return text;
}

function escaped(byte: number): string {
  return byte === 0x5c ? '\\\\' : `\\x${byte.toString(16).padStart(2, '0')}`;
}
