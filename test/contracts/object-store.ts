/** What every ObjectStore promises. Run on the double and on OSS. */
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import { checksumOf } from '../doubles/memory-store.ts';

export interface OpenStore<T> {
  readonly store: T;
  close(): Promise<void>;
}

export function testObjectStore(name: string, open: () => Promise<OpenStore<ObjectStore>>): void {
  describe(`${name} as an object store`, () => {
    const { signal } = new AbortController();
    let store: ObjectStore;
    let opened: OpenStore<ObjectStore>;
    beforeAll(async () => {
      opened = await open();
      ({ store } = opened);
    });
    afterAll(async () => opened.close());

    it('answers undefined for what is not there', async () => {
      expect(await store.head('absent', signal)).toBeUndefined();
      expect(await store.get('absent', signal)).toBeUndefined();
    });

    it('gives back what was created, with its length and checksum', async () => {
      const body = Buffer.from('{"a":1}');

      expect(await store.create('made/a.json', body, 'application/json', signal)).toBe('created');

      expect(await store.get('made/a.json', signal)).toEqual(body);
      const head = await store.head('made/a.json', signal);
      expect(head).toMatchObject({ key: 'made/a.json', bytes: body.length, crc64: checksumOf(body) });
      expect(head?.lastModifiedAt).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    });

    it('never replaces an object', async () => {
      await store.create('once', Buffer.from('first'), 'text/plain', signal);

      expect(await store.create('once', Buffer.from('other'), 'text/plain', signal)).toBe('exists');
      expect(await store.create('once', Buffer.from('longer'), 'text/plain', signal)).toBe('exists');

      expect((await store.get('once', signal))?.toString()).toBe('first');
    });

    it('counts the same bytes as created, because the answer to an earlier attempt may have been lost', async () => {
      await store.create('twice', Buffer.from('same'), 'text/plain', signal);

      expect(await store.create('twice', Buffer.from('same'), 'text/plain', signal)).toBe('created');
    });

    it('keeps an empty object', async () => {
      await store.create('empty', Buffer.alloc(0), 'text/plain', signal);

      expect(await store.get('empty', signal)).toEqual(Buffer.alloc(0));
      expect(await collect(store.read('empty', signal))).toEqual(Buffer.alloc(0));
    });

    it('reads an object in order, from any byte on', async () => {
      const body = Buffer.alloc(9 * 1024 ** 2, 'tairlift ');
      await store.create('long', body, 'application/octet-stream', signal);

      expect((await collect(store.read('long', signal))).equals(body)).toBe(true);
      expect((await collect(store.read('long', signal, 5_000_003))).equals(body.subarray(5_000_003))).toBe(
        true,
      );
      expect(await collect(store.read('long', signal, body.length))).toEqual(Buffer.alloc(0));
    });

    it('says by name that there is nothing to read', async () => {
      await expect(collect(store.read('absent', signal))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    it('stops reading when the reader has had enough', async () => {
      await store.create('left', Buffer.alloc(9 * 1024 ** 2, 1), 'application/octet-stream', signal);

      for await (const piece of store.read('left', signal)) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
    });

    it('lists what lies below a prefix, in key order, over all pages', async () => {
      const keys = Array.from({ length: 12 }, (_, n) => `listed/${String(n).padStart(2, '0')} ü+&.json`);
      for (const key of keys.toReversed()) await store.create(key, Buffer.from(key), 'text/plain', signal);
      await store.create('listed-not', Buffer.from('x'), 'text/plain', signal);

      const listed = [];
      for await (const entry of store.list('listed/', signal)) listed.push(entry);

      expect(listed.map(({ key }) => key)).toEqual(keys);
      expect(listed[0]).toMatchObject({ bytes: Buffer.byteLength(keys[0] ?? '') });
    });

    it('stops at an aborted signal with its reason', async () => {
      const stopped = AbortSignal.abort();

      await expect(store.head('once', stopped)).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await expect(store.get('once', stopped)).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await expect(store.create('never', Buffer.from('x'), 'text/plain', stopped)).rejects.toMatchObject({
        code: 'INTERRUPTED',
      });
      expect(await store.head('never', signal)).toBeUndefined();
    });
  });
}

export async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
