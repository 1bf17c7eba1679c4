/** What every UploadTarget promises. Run on the double and on OSS. */
import { BackupError } from '../../functions/core/errors.ts';
import { createArrivingPart, wholePart } from '../../functions/core/transfer/part-body.ts';
import { UPLOAD_GONE, type UploadTarget } from '../../functions/core/transfer/upload-target.ts';
import { checksumOf } from '../doubles/memory-store.ts';
import type { OpenStore } from './object-store.ts';

export function testUploadTarget(name: string, open: () => Promise<OpenStore<UploadTarget>>): void {
  describe(`${name} as a target of uploads`, () => {
    const { signal } = new AbortController();
    let target: UploadTarget;
    let opened: OpenStore<UploadTarget>;
    beforeAll(async () => {
      opened = await open();
      target = opened.store;
    });
    afterAll(async () => opened.close());

    const first = Buffer.alloc(200 * 1024, 'a');
    const second = Buffer.from('the end');

    async function beginWithParts(
      key: string,
    ): Promise<{ upload: string; receipts: { number: number; etag: string }[] }> {
      const upload = await target.begin(key, signal);
      const two = await target.uploadPart(key, upload, 2, wholePart(second), signal);
      const one = await target.uploadPart(key, upload, 1, wholePart(first), signal);
      return {
        upload,
        receipts: [
          { ...one, number: 1 },
          { ...two, number: 2 },
        ],
      };
    }

    it('makes one object of parts that arrived in any order, and tells the checksum of each and of the whole', async () => {
      const upload = await target.begin('parts', signal);
      const two = await target.uploadPart('parts', upload, 2, wholePart(second), signal);
      const one = await target.uploadPart('parts', upload, 1, wholePart(first), signal);
      expect([one.crc64, two.crc64]).toEqual([checksumOf(first), checksumOf(second)]);
      expect(await target.head('parts', signal)).toBeUndefined();

      const whole = await target.complete(
        'parts',
        upload,
        [
          { ...one, number: 1 },
          { ...two, number: 2 },
        ],
        signal,
      );

      const expected = checksumOf(Buffer.concat([first, second]));
      expect(whole.crc64).toBe(expected);
      expect(await target.head('parts', signal)).toMatchObject({
        bytes: first.length + second.length,
        crc64: expected,
      });
    });

    it('replaces a part that is sent again', async () => {
      const upload = await target.begin('resent', signal);
      await target.uploadPart('resent', upload, 1, wholePart(first), signal);
      const again = await target.uploadPart('resent', upload, 1, wholePart(second), signal);

      await target.complete('resent', upload, [{ ...again, number: 1 }], signal);

      expect(await target.head('resent', signal)).toMatchObject({ bytes: second.length });
    });

    it('stores a small object in one request', async () => {
      const receipt = await target.put('small', second, signal);

      expect(receipt.crc64).toBe(checksumOf(second));
      expect(await target.head('small', signal)).toMatchObject({ bytes: second.length });
    });

    it('refuses to replace an object in every way of writing', async () => {
      const { upload, receipts } = await beginWithParts('taken');
      await target.put('taken', second, signal);

      await expect(target.put('taken', first, signal)).rejects.toMatchObject({
        code: 'DESTINATION_CONFLICT',
      });
      await expect(target.begin('taken', signal)).rejects.toMatchObject({ code: 'DESTINATION_CONFLICT' });
      await expect(target.complete('taken', upload, receipts, signal)).rejects.toMatchObject({
        code: 'DESTINATION_CONFLICT',
      });

      expect(await target.head('taken', signal)).toMatchObject({ bytes: second.length });
    });

    it('says that an upload is gone after it was aborted, and aborts twice without complaint', async () => {
      const { upload, receipts } = await beginWithParts('dropped');

      await target.abort('dropped', upload, signal);
      await target.abort('dropped', upload, signal);

      const gone = { code: 'UPLOAD_FAILED', details: { reason: UPLOAD_GONE } };
      await expect(target.uploadPart('dropped', upload, 1, wholePart(first), signal)).rejects.toMatchObject(
        gone,
      );
      await expect(target.complete('dropped', upload, receipts, signal)).rejects.toMatchObject(gone);
      expect(await target.head('dropped', signal)).toBeUndefined();
    });

    it('tells which parts an upload holds, by number, and that a gone one holds none', async () => {
      const { upload } = await beginWithParts('held');

      expect(await target.parts('held', upload, signal)).toEqual([
        { number: 1, bytes: first.length, crc64: checksumOf(first), etag: expect.stringMatching(/\w{32}/) },
        { number: 2, bytes: second.length, crc64: checksumOf(second), etag: expect.stringMatching(/\w{32}/) },
      ]);

      await target.abort('held', upload, signal);
      await expect(target.parts('held', upload, signal)).rejects.toMatchObject({
        details: { reason: UPLOAD_GONE },
      });
    });

    it('tells of a single part, and of none', async () => {
      const upload = await target.begin('few', signal);
      expect(await target.parts('few', upload, signal)).toEqual([]);

      await target.uploadPart('few', upload, 7, wholePart(second), signal);

      expect(await target.parts('few', upload, signal)).toMatchObject([{ number: 7, bytes: second.length }]);
    });

    it('sends a part while it is still arriving', async () => {
      const upload = await target.begin('arriving', signal);
      const part = createArrivingPart(first);
      part.arrived(1000);
      const sending = target.uploadPart('arriving', upload, 1, part, signal);
      await new Promise((resolve) => setImmediate(resolve));
      part.arrived(150_000);
      await new Promise((resolve) => setImmediate(resolve));
      part.arrived(first.length);

      expect((await sending).crc64).toBe(checksumOf(first));
    });

    it('gives up a part of which no more will come, with the failure of its arrival', async () => {
      const upload = await target.begin('failing', signal);
      const part = createArrivingPart(first);
      part.arrived(140_000);
      const sending = target.uploadPart('failing', upload, 1, part, signal);
      part.fail(new BackupError('SOURCE_CHANGED', 'download a at byte 9: it is another file'));

      await expect(sending).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
      expect(await target.parts('failing', upload, signal)).toEqual([]);
    });

    it('lists the uploads of exactly one key that are not ended', async () => {
      const first = await target.begin('listed', signal);
      const second = await target.begin('listed', signal);
      await target.begin('listed/longer', signal);
      expect((await target.unfinished('listed', signal)).toSorted()).toEqual([first, second].toSorted());

      await target.abort('listed', first, signal);

      expect(await target.unfinished('listed', signal)).toEqual([second]);
    });

    it('does not make an object of parts that it does not have', async () => {
      const upload = await target.begin('holed', signal);
      const one = await target.uploadPart('holed', upload, 1, wholePart(first), signal);

      await expect(
        target.complete(
          'holed',
          upload,
          [
            { ...one, number: 1 },
            { number: 2, etag: one.etag },
          ],
          signal,
        ),
      ).rejects.toMatchObject({ code: 'UPLOAD_FAILED' });

      expect(await target.head('holed', signal)).toBeUndefined();
    });

    it('stops at an aborted signal with its reason', async () => {
      await expect(target.put('late', second, AbortSignal.abort())).rejects.toMatchObject({
        code: 'INTERRUPTED',
      });
      expect(await target.head('late', signal)).toBeUndefined();
    });
  });
}
