/** Archives of code: what is in them, and which are refused. */
import { unzip } from '../../../emulator/fc/deploying/unzip.ts';
import { zip } from '../../deploy/zip.ts';

const MAX = 1024 * 1024;
const FILES = { 'index.js': 'exports.handler = () => 1;\n', 'lib/a.txt': 'a'.repeat(5000), empty: '' };

it('gives back the files that were put in', () => {
  const read = unzip(zip(FILES), MAX).map(({ path, content }) => [path, content.toString()]);
  expect(Object.fromEntries(read)).toEqual(FILES);
});

it('reads an archive of something else behind bytes that it does not know', () => {
  // A comment at the end, as some tools leave it.
  const archive = zip({ 'a.txt': 'a' });
  archive.writeUInt16LE(5, archive.length - 2);
  expect(unzip(Buffer.concat([archive, Buffer.from('hello')]), MAX)).toHaveLength(1);
});

it.each([
  [
    'what is no archive',
    Buffer.from('not a zip archive at all, but long enough to be one'),
    'no zip archive',
  ],
  ['nothing', Buffer.alloc(0), 'no zip archive'],
  ['a file above the folder', zip({ '../evil.js': '' }), 'outside of its folder'],
  ['a file with a path of its own', zip({ '/etc/passwd': '' }), 'outside of its folder'],
  ['a file that is too large', zip({ a: Buffer.alloc(MAX + 1) }), 'more than the'],
])('refuses %s', (_what, archive, because) => {
  expect(() => unzip(archive, MAX)).toThrow(because);
});

it('refuses a flipped bit anywhere in the content, and an archive that was cut', () => {
  const archive = zip({ 'index.js': 'x'.repeat(100) });
  for (const at of [40, 41]) {
    const flipped = Buffer.from(archive);
    flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
    expect(() => unzip(flipped, MAX)).toThrow(RangeError);
  }
  expect(() => unzip(archive.subarray(0, archive.length - 30), MAX)).toThrow('no zip archive');
});
