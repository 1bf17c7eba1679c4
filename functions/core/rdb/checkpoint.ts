/**
 * The state of a reader between two keys, as bytes that are kept elsewhere and come back: a mark, the length of the
 * JSON, the JSON, sixteen bytes for each key that is still compared with others, and a checksum of all that.
 */
import { crc64Xz } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import type { ReaderState } from './file.ts';
import type { Identity } from './seen.ts';

/** Another one for each version of the format. What another version wrote is not understood, and not guessed at. */
const MARK = Buffer.from('rdbscan1', 'latin1');
const LENGTH_BYTES = 4;
const IDENTITY_BYTES = 16;
const CHECKSUM_BYTES = 8;
const HEAD_BYTES = MARK.length + LENGTH_BYTES;

/** What the state was made with; a reader with other limits would have read something else. */
interface Made {
  readonly heldBytesMax: number;
}

export function encodeState(state: ReaderState, identities: Iterable<Identity>, made: Made): Buffer {
  const json = Buffer.from(JSON.stringify({ ...made, ...state }));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  const words: number[] = [];
  for (const { a, b, c, d } of identities) words.push(a, b, c, d);
  const seen = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) seen.writeInt32LE(word, index * 4);
  const all = Buffer.concat([MARK, length, json, seen]);
  const checksum = Buffer.alloc(CHECKSUM_BYTES);
  checksum.writeBigUInt64LE(checksumOf(all));
  return Buffer.concat([all, checksum]);
}

/** Throws `INTERNAL` if these are not the bytes that `encodeState` made for a reader like this one. */
export function decodeState(
  bytes: Buffer,
  made: Made,
): { readonly state: ReaderState; readonly identities: readonly Identity[] } {
  const end = bytes.length - CHECKSUM_BYTES;
  if (end < HEAD_BYTES || !bytes.subarray(0, MARK.length).equals(MARK)) refuse('it is not one');
  if (bytes.readBigUInt64LE(end) !== checksumOf(bytes.subarray(0, end))) refuse('it is damaged');
  const jsonEnd = HEAD_BYTES + bytes.readUInt32LE(MARK.length);
  // The checksum says that this is what was written.
  const state = JSON.parse(bytes.toString('utf8', HEAD_BYTES, jsonEnd)) as ReaderState & Made;
  if (state.heldBytesMax !== made.heldBytesMax) refuse('it was made with another limit');
  const identities: Identity[] = [];
  for (let at = jsonEnd; at < end; at += IDENTITY_BYTES) {
    identities.push({
      a: bytes.readInt32LE(at),
      b: bytes.readInt32LE(at + 4),
      c: bytes.readInt32LE(at + 8),
      d: bytes.readInt32LE(at + 12),
    });
  }
  return { state, identities };
}

function checksumOf(bytes: Buffer): bigint {
  const sum = crc64Xz();
  sum.update(bytes);
  return sum.value();
}

function refuse(reason: string): never {
  throw new BackupError('INTERNAL', `read the checkpoint of a scanner: ${reason}`, {
    hint: 'read the file from its beginning',
  });
}
