/**
 * The hot loops as WebAssembly (see assembly/): they run at full speed from the first megabyte on, where JavaScript
 * would have to be found hot and be compiled first, and some of them are vector code that JavaScript has no words for.
 */
import { BackupError } from '../errors.ts';
import loopsWasm from './loops.wasm';

/** One instance of the module, with a memory of its own. */
export interface Loops {
  readonly memory: ArrayBuffer;
  /** All of the memory. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly run: LoopExports;
  /** Where bytes that do not lie in the memory are copied to, piece by piece. It holds nothing between two calls. */
  readonly copyBlock: Uint8Array;
}

/** What assembly/index.ts exports. Addresses and sizes are in bytes. */
export interface LoopExports {
  readonly crcWindowBytes: () => number;
  readonly crcWindow: (which: number) => number;
  readonly crcFold: (which: number, from: number, bytes: number, before: number) => void;
  /** Signed. */
  readonly crcLookUp: (which: number, before: number) => bigint;
  readonly copyBlock: () => number;
  readonly copyBlockBytes: () => number;
  readonly ownBytes: () => number;
  readonly windowBlock: () => number;
  readonly windowBlockBytes: () => number;
  readonly keysTaken: () => number;
  readonly takeKeys: (
    from: number,
    end: number,
    database: number,
    biggestFrom: number,
    heldMax: number,
    isStrict: number,
  ) => number;
  readonly elementsTaken: () => number;
  readonly takeElements: (type: number, from: number, end: number, left: number, heldMax: number) => number;
  readonly elementsBegin: (expected: number) => void;
  readonly elementAddRow: () => number;
  readonly keysForget: () => void;
  readonly keysStop: () => void;
  readonly comparesKeys: () => number;
  readonly keyAddRow: () => number;
  readonly keysTable: () => number;
  readonly keysTableBytes: () => number;
  readonly slotsForget: () => void;
  readonly slotsSeen: () => number;
  readonly slotsCount: () => number;
  readonly hashLanes: () => number;
  readonly hashResult: () => number;
  readonly hashBlocks: (from: number, bytes: number) => void;
  readonly hashFinish: (bytes: number) => void;
  readonly textState: () => number;
  readonly textStateBytes: () => number;
  readonly textBegin: () => void;
  readonly textPiece: (from: number, bytes: number) => void;
  /** Signed. */
  readonly textEnd: () => bigint;
}

/** What is used of a global whose values the types of Node leave out. */
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

const PAGE_BYTES = 65_536;
/** The module's own memory, which is at its beginning. */
const OWN_BYTES = 640 * PAGE_BYTES;
/** WebAssembly cannot address more: 4 GiB. */
const PAGES_MAX = 65_536;
/** Loops look a little past the end of what they read, and no address may overflow there. */
const SLACK_BYTES = 4096;
/** The most that an instance has room for beside its own. */
export const FREE_BYTES_MAX = PAGES_MAX * PAGE_BYTES - OWN_BYTES - SLACK_BYTES;

let compiled: object | undefined;

/**
 * Makes an instance whose memory has room for `freeBytes` beside its own: from `freeFrom` on, whole pages. What is
 * not touched of a memory costs address space only. Throws `CONFIG_INVALID` if that is more than can be addressed.
 */
export function createLoops(freeBytes: number): { readonly loops: Loops; readonly freeFrom: number } {
  compiled ??= new WebAssembly.Module(loopsWasm);
  const pages = Math.ceil((OWN_BYTES + freeBytes + SLACK_BYTES) / PAGE_BYTES);
  if (pages > PAGES_MAX) {
    throw new BackupError(
      'CONFIG_INVALID',
      `lay out ${freeBytes} bytes for parts in flight: 4 GiB are the limit`,
      {
        hint: 'use fewer lanes or smaller parts',
      },
    );
  }
  // It never grows, so that what lies in it stays where it is.
  const imported = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const instance = new WebAssembly.Instance(compiled, { env: { memory: imported } });
  // The module exports exactly these.
  const run = instance.exports as LoopExports;
  const memory = imported.buffer;
  if (run.ownBytes() > OWN_BYTES) throw new BackupError('INTERNAL', `the loops use ${run.ownBytes()} bytes`);
  const loops = {
    memory,
    bytes: new Uint8Array(memory),
    words: new Int32Array(memory),
    run,
    copyBlock: new Uint8Array(memory, run.copyBlock(), run.copyBlockBytes()),
  };
  return { loops, freeFrom: OWN_BYTES };
}

let shared: Loops | undefined;

/** The process's own instance, for whoever needs a loop now and then: nothing is left in it between two calls. */
export function sharedLoops(): Loops {
  shared ??= createLoops(0).loops;
  return shared;
}

/** The address of bytes that lie in the memory, -1 if they do not. */
export function addressIn(loops: Loops, bytes: Uint8Array): number {
  return bytes.buffer === loops.memory ? bytes.byteOffset : -1;
}

/** Hands bytes over piece by piece, each as an address: where they are, or where they were copied to. */
export function forEachPiece(
  loops: Loops,
  bytes: Uint8Array,
  take: (address: number, bytes: number) => void,
): void {
  const address = addressIn(loops, bytes);
  if (address >= 0) return take(address, bytes.length);
  const { copyBlock } = loops;
  for (let at = 0; at < bytes.length; at += copyBlock.length) {
    const piece = bytes.subarray(at, at + copyBlock.length);
    copyBlock.set(piece);
    take(copyBlock.byteOffset, piece.length);
  }
}
