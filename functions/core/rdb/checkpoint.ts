/**
 * The state of a reader between two keys, as bytes that are kept elsewhere and come back: a mark, the length of the
 * JSON, the JSON, sixteen bytes for each key that is still compared with others, and a checksum of all that.
 */
import { crc64Xz } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import type { ReaderState } from './file.ts';

/** Another one for each version of the format. What another version wrote is not understood, and not guessed at. */
const MARK = Buffer.from('rdbscan1', 'latin1');
const LENGTH_BYTES = 4;
const CHECKSUM_BYTES = 8;
const HEAD_BYTES = MARK.length + LENGTH_BYTES;

/** What the state was made with; a reader with other limits would have read something else. */
interface Made {
  readonly heldBytesMax: number;
}

export function encodeState(state: ReaderState, identities: Int32Array, made: Made): Buffer {
  const json = JSON.stringify({ ...made, ...state });
  const jsonBytes = Buffer.byteLength(json);
  // Written in one piece: it is done for each part of a transfer, and what is left behind fills the memory.
  const all = Buffer.allocUnsafeSlow(HEAD_BYTES + jsonBytes + identities.byteLength + CHECKSUM_BYTES);
  all.set(MARK);
  all.writeUInt32LE(jsonBytes, MARK.length);
  all.write(json, HEAD_BYTES);
  const seen = new Uint8Array(identities.buffer, identities.byteOffset, identities.byteLength);
  all.set(seen, HEAD_BYTES + jsonBytes);
  const end = all.length - CHECKSUM_BYTES;
  all.writeBigUInt64LE(checksumOf(all.subarray(0, end)), end);
  return all;
}

/** Throws `INTERNAL` if these are not the bytes that `encodeState` made for a reader like this one. */
export function decodeState(
  bytes: Buffer,
  made: Made,
): { readonly state: ReaderState; readonly identities: Int32Array } {
  const end = bytes.length - CHECKSUM_BYTES;
  if (end < HEAD_BYTES || !bytes.subarray(0, MARK.length).equals(MARK)) refuse('it is not one');
  if (bytes.readBigUInt64LE(end) !== checksumOf(bytes.subarray(0, end))) refuse('it is damaged');
  const jsonEnd = HEAD_BYTES + bytes.readUInt32LE(MARK.length);
  // The checksum says that this is what was written.
  const state = JSON.parse(bytes.toString('utf8', HEAD_BYTES, jsonEnd)) as ReaderState & Made;
  if (state.heldBytesMax !== made.heldBytesMax) refuse('it was made with another limit');
  // In the order of bytes in which this machine has them, as all do that this runs on; and aligned, as words must be.
  const identities = new Int32Array(Uint8Array.from(bytes.subarray(jsonEnd, end)).buffer);
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
