import { BackupError } from '../../functions/core/errors.ts';
import { createLog } from '../../functions/core/log.ts';
import type { UploadOutcome } from '../../functions/core/upload-request.ts';
import type { HttpClient } from '../../functions/core/transfer/http.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import { runUpload } from '../../functions/uploader/run-upload.ts';
import type { UploadParts } from '../../functions/uploader/upload-backup.ts';
import { startFileServer, type FileServer } from '../doubles/file-server.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createPlainScanner, plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { MANIFEST, STEPS, backupOf, requestOf } from './upload-request.ts';

const { signal } = new AbortController();

describe('an invocation of the uploader', () => {
  let http: HttpClient;
  let server: FileServer;
  let store: MemoryStore;
  let lines: string[];
  beforeEach(async () => {
    http = createLeanHttpClient();
    server = await startFileServer(plainFile(1000));
    store = createMemoryStore();
    lines = [];
  });
  afterEach(async () => {
    http.close();
    await server.close();
  });

  const partsWith = (change: Partial<UploadParts> = {}): UploadParts => ({
    source: createListedSource(() => [backupOf([server.url])]),
    store,
    target: store,
    http,
    scanner: createPlainScanner,
    policy: QUICK,
    log: createLog((line) => void lines.push(line)),
    ...change,
  });
  const outcomeOf = (requestId: string): UploadOutcome =>
    JSON.parse(String(store.objects.get(`${STEPS}outcome-1-${requestId}.json`))) as UploadOutcome;

  it('returns what was stored and leaves it as its outcome', async () => {
    const summary = await runUpload(requestOf(), 'req-1', partsWith(), signal);

    expect(summary).toEqual({ status: 'stored', manifest: MANIFEST, level: 'parsed', files: 1, bytes: 1000 });
    expect(outcomeOf('req-1')).toEqual({
      status: 'stored',
      attempt: 1,
      finishedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      manifest: MANIFEST,
    });
  });

  it('leaves a sign of life before anything else', async () => {
    const seen: string[] = [];
    const source = createListedSource(() => {
      seen.push(...store.objects.keys());
      return [backupOf([server.url])];
    });

    await runUpload(requestOf(), 'req-1', partsWith({ source }), signal);

    expect(seen).toEqual([expect.stringMatching(new RegExp(`^${STEPS}progress-1-req-1-\\d+\\.json$`))]);
    expect(JSON.parse(String(store.objects.get(seen[0] ?? '')))).toMatchObject({
      attempt: 1,
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      doneBytes: 0,
    });
  });

  it("leaves an outcome also when the platform's second try carries the same request id", async () => {
    server.serve(Buffer.alloc(0));
    await runUpload(requestOf(), 'req-1', partsWith(), signal).catch(() => undefined);
    server.serve(plainFile(1000));

    await runUpload(requestOf(), 'req-1', partsWith(), signal);

    expect(outcomeOf('req-1')).toMatchObject({ status: 'failed' });
    const outcomes = [...store.objects.keys()].filter((key) => key.startsWith(`${STEPS}outcome-1-req-1-`));
    expect(outcomes.map((key) => JSON.parse(String(store.objects.get(key))) as unknown)).toMatchObject([
      { status: 'stored' },
    ]);
  });

  it('is not hurt when a sign of life cannot be written, and says so in its log', async () => {
    const parts = partsWith({
      store: {
        ...store,
        create: async (key, ...rest) => {
          if (key.includes('/progress-')) throw new BackupError('SERVICE_ERROR', 'store progress: 503');
          return store.create(key, ...rest);
        },
      },
    });

    expect(await runUpload(requestOf(), 'req-1', parts, signal)).toMatchObject({ status: 'stored' });

    expect(lines.join('\n')).toContain('a sign of life could not be written');
  });

  it('leaves an outcome of its own when it is invoked twice', async () => {
    await runUpload(requestOf(), 'req-1', partsWith(), signal);
    await runUpload(requestOf(), 'req-2', partsWith(), signal);

    expect(outcomeOf('req-2')).toMatchObject({ status: 'stored', manifest: MANIFEST });
  });

  it('leaves the error and throws it', async () => {
    server.serve(plainFile(1000).subarray(0, 999));

    await expect(runUpload(requestOf(), 'req-1', partsWith(), signal)).rejects.toMatchObject({
      code: 'RDB_TRUNCATED',
    });

    expect(outcomeOf('req-1')).toMatchObject({
      status: 'failed',
      error: {
        code: 'RDB_TRUNCATED',
        message: expect.stringContaining('shard-0.rdb of r-bp1'),
        details: { byte: 0, verdict: 'truncated' },
      },
    });
    expect(store.objects.has(MANIFEST)).toBe(false);
  });

  it('names the instance in errors that come from the bucket', async () => {
    const denied = new BackupError('PERMISSION_DENIED', 'look at my-backups/x: AccessDenied', {
      hint: 'allow it',
    });
    const parts = partsWith({
      store: {
        ...store,
        get: async () => {
          throw denied;
        },
      },
    });

    await expect(runUpload(requestOf(), 'req-1', parts, signal)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'back up r-bp1: look at my-backups/x: AccessDenied',
      details: { instance: 'r-bp1' },
      hint: 'allow it',
    });
  });

  it('still leaves its outcome after the deadline', async () => {
    const stopped = AbortSignal.abort(new BackupError('DEADLINE_NEAR', 'finish within 60 s'));

    await expect(runUpload(requestOf(), 'req-1', partsWith(), stopped)).rejects.toMatchObject({
      code: 'DEADLINE_NEAR',
    });

    expect(outcomeOf('req-1')).toMatchObject({ status: 'failed', error: { code: 'DEADLINE_NEAR' } });
  });

  it('throws the cause, and only logs that the outcome could not be written', async () => {
    server.serve(Buffer.alloc(0));
    const parts = partsWith({
      store: {
        ...store,
        create: async () => {
          throw new BackupError('SERVICE_ERROR', 'store the outcome');
        },
      },
    });

    await expect(runUpload(requestOf(), 'req-1', parts, signal)).rejects.toMatchObject({
      code: 'SOURCE_TRUNCATED',
    });

    expect(lines.join('\n')).toContain('the outcome could not be written');
  });

  it('keeps signatures out of the outcome', async () => {
    server.script(
      ...Array.from(
        { length: 9 },
        () => (_request: unknown, response: { writeHead(status: number): { end(): void } }) => {
          response.writeHead(403).end();
        },
      ),
    );

    await expect(runUpload(requestOf(), 'req-1', partsWith(), signal)).rejects.toMatchObject({
      code: 'URL_EXPIRED',
    });

    expect(JSON.stringify(outcomeOf('req-1'))).not.toContain('secret-0');
  });
});
