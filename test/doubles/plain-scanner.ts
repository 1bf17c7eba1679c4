/**
 * A scanner for tests that are not about RDB: `REDIS` at the start and `\xff` at the end make a sound file, and the
 * marks `!corrupt!` and `!unchecked!` give it another verdict. Different files have different keys, in different slots.
 */
import { createHash } from 'node:crypto';
import type { Workspace } from '../../functions/core/wasm/workspace.ts';
import type { Fingerprint, Verdict } from '../../functions/core/rdb/report.ts';
import type { RdbScanner, ScannerCheckpoint } from '../../functions/core/rdb/scanner.ts';

export interface PlainScanner extends RdbScanner {
  /** All that it was shown, in order. */
  seen(): Buffer;
}

/** What scanners had seen at their checkpoints, whose states are numbers: small, as those of a reader are. */
const states: Buffer[] = [];

/** @param _workspace of the bytes that it is shown; it takes any */
export function createPlainScanner(_workspace?: Workspace, from?: ScannerCheckpoint): PlainScanner {
  const pieces: Buffer[] = from === undefined ? [] : [states[from.state.readUInt32LE()] ?? Buffer.alloc(0)];
  const seen = (): Buffer => Buffer.concat(pieces);
  const corruptAt = (): number => seen().indexOf('!corrupt!');
  return {
    seen,
    write: (chunk) => void pieces.push(Buffer.from(chunk)),
    hasFailed: () => corruptAt() >= 0,
    checkpoint: () => {
      const state = Buffer.alloc(4);
      state.writeUInt32LE(states.push(seen()) - 1);
      return { offset: seen().length, state };
    },
    end: () => {
      const bytes = seen();
      const verdict = verdictOf(bytes);
      return {
        verdict,
        ...(verdict === 'sound' || verdict === 'unverifiable'
          ? {}
          : {
              problem: { offset: Math.max(0, corruptAt()), doing: 'the file', reason: `marked ${verdict}` },
            }),
        bytes: bytes.length,
        fingerprint: { ...FINGERPRINT, ...plainContents(bytes) },
      };
    },
  };
}

function verdictOf(bytes: Buffer): Verdict {
  if (bytes.includes('!corrupt!') || !bytes.subarray(0, 5).equals(Buffer.from('REDIS'))) return 'corrupt';
  if (bytes.at(-1) !== 0xff) return 'truncated';
  return bytes.includes('!unchecked!') ? 'unverifiable' : 'sound';
}

/** What tells the contents of two files apart. */
export function plainContents(bytes: Buffer): Pick<Fingerprint, 'slots' | 'digest'> {
  const digest = createHash('md5').update(bytes).digest('hex');
  const first = 2 * (Number.parseInt(digest.slice(0, 8), 16) % 8192);
  return { slots: { seen: 2, ranges: `${first}-${first + 1}` }, digest };
}

const FINGERPRINT: Omit<Fingerprint, 'slots' | 'digest'> = {
  version: 11,
  dialect: 'redis',
  aux: {},
  keys: 2,
  expires: 1,
  databases: { '0': { keys: 2, expires: 1 } },
  types: { string: { keys: 2, bytes: 20 } },
  modules: {},
  functions: 0,
  biggest: [],
};

/** No power of two, so that no two parts of a file are equal. */
const BLOCK_BYTES = 999_983;

/** A sound file for it, of this many bytes. */
export function plainFile(bytes: number, seed = 1): Buffer {
  const block = Buffer.allocUnsafe(Math.min(bytes, BLOCK_BYTES));
  let state = seed;
  for (let at = 0; at < block.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    block[at] = state >>> 24;
  }
  const file = Buffer.alloc(bytes, block);
  file.write('REDIS0011', 'latin1');
  file[bytes - 1] = 0xff;
  return file;
}
