/**
 * The files in a zip archive, as far as packages of code use the format: stored or deflated entries, listed in the
 * central directory. No encryption, no several volumes, no Zip64.
 *
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { crc32, inflateRawSync } from 'node:zlib';

export interface ZipEntry {
  /** With slashes, relative, and inside of the archive's folder. */
  readonly path: string;
  readonly content: Buffer;
}

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;

/**
 * @param maxBytes of all files together
 * @throws RangeError that says what is wrong with the archive
 */
export function unzip(archive: Buffer, maxBytes: number): readonly ZipEntry[] {
  const end = findEnd(archive);
  const count = archive.readUInt16LE(end + 10);
  const entries: ZipEntry[] = [];
  let left = maxBytes;
  let at = archive.readUInt32LE(end + 16);
  for (let n = 0; n < count; n++) {
    const { entry, next } = readEntry(archive, at, left);
    at = next;
    if (entry === undefined) continue;
    left -= entry.content.length;
    entries.push(entry);
  }
  return entries;
}

function findEnd(archive: Buffer): number {
  const first = Math.max(0, archive.length - END_BYTES - MAX_COMMENT_BYTES);
  for (let at = archive.length - END_BYTES; at >= first; at--)
    if (archive.readUInt32LE(at) === END_OF_DIRECTORY) return at;
  throw new RangeError('it is no zip archive, or its end is missing');
}

/** Undefined for folders: they are made with their files. */
function readEntry(
  archive: Buffer,
  at: number,
  maxBytes: number,
): { readonly entry: ZipEntry | undefined; readonly next: number } {
  if (at + 46 > archive.length || archive.readUInt32LE(at) !== DIRECTORY_ENTRY)
    throw new RangeError('its directory is damaged');
  const flags = archive.readUInt16LE(at + 8);
  const method = archive.readUInt16LE(at + 10);
  const crc = archive.readUInt32LE(at + 16);
  const packedBytes = archive.readUInt32LE(at + 20);
  const bytes = archive.readUInt32LE(at + 24);
  const nameBytes = archive.readUInt16LE(at + 28);
  const extraBytes = archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  const header = archive.readUInt32LE(at + 42);
  const path = archive.toString('utf8', at + 46, at + 46 + nameBytes);
  const next = at + 46 + nameBytes + extraBytes;

  if (path.endsWith('/')) return { entry: undefined, next };
  if (!isInside(path)) throw new RangeError(`it has a file outside of its folder: ${path}`);
  if ((flags & 1) === 1) throw new RangeError(`${path} is encrypted`);
  if (bytes > maxBytes) throw new RangeError(`its files have more than the ${maxBytes} bytes that are left`);
  const packed = packedContent(archive, header, packedBytes, path);
  const content = method === 0 ? Buffer.from(packed) : inflate(packed, method, bytes, path);
  if (content.length !== bytes || crc32(content) !== crc) throw new RangeError(`${path} is damaged`);
  return { entry: { path, content }, next };
}

function isInside(path: string): boolean {
  return path !== '' && !/^[/\\]|^[A-Za-z]:|\\|\0/.test(path) && !path.split('/').includes('..');
}

/** The local header repeats the names, and may have an extra field of another length. */
function packedContent(archive: Buffer, header: number, bytes: number, path: string): Buffer {
  if (header + 30 > archive.length || archive.readUInt32LE(header) !== LOCAL_HEADER)
    throw new RangeError(`${path} is not where the directory says`);
  const start = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
  if (start + bytes > archive.length) throw new RangeError(`${path} is cut off`);
  return archive.subarray(start, start + bytes);
}

function inflate(packed: Buffer, method: number, bytes: number, path: string): Buffer {
  if (method !== 8)
    throw new RangeError(`${path} is compressed with method ${method}, which is not supported`);
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, bytes) });
  } catch {
    throw new RangeError(`${path} is damaged`);
  }
}
