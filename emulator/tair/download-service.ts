/**
 * The host that backup files are downloaded from: OSS objects in a bucket of the vendor's, reached by URLs that are
 * signed for GET. The signature covers the method, Content-Type and every x-oss-* header, so a HEAD and a GET with
 * one header too many are refused.
 * https://www.alibabacloud.com/help/en/oss/developer-reference/ddd-signatures-to-urls
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Reply, Request, Service, ServiceError } from '../http.ts';
import type { Session } from '../identity.ts';
import { startCrc64 } from '../oss/crc64.ts';
import { noSuchKey, OssError } from '../oss/oss-error.ts';
import { parseRange } from '../oss/range.ts';
import { presignV1, verifyPresignedV1 } from '../oss/signature/v1.ts';
import { xmlDocument } from '../oss/xml.ts';
import type { World } from '../world.ts';
import type { BackupStore, ShardBackup } from './backup-set.ts';
import type { TairOptions } from './options.ts';

export interface Download {
  readonly service: Service;
  /** Reads a new file once, so that its first download does not have to wait for the checksum. */
  prepare(file: string): Promise<void>;
  /** A signed URL for the file, with a life that begins now. */
  sign(shard: ShardBackup): string;
}

export function createDownload(world: World, store: BackupStore, options: TairOptions): Download {
  const { identity, clock } = world;
  const role = identity.addRole({
    accountId: '1000000000000000',
    name: 'backup-storage',
    trusts: [],
    allow: [],
  });
  let session: Session | undefined;

  /** One for many URLs, and never one that would end before they do. */
  function currentSession(): Session {
    if (session === undefined || session.expiresAt < clock.now() + options.urlLifetimeMs)
      session = identity.issue(role, 'download', (2 * options.urlLifetimeMs) / 1000 + 3600);
    return session;
  }

  function sign(shard: ShardBackup): string {
    const resource = `/${shard.bucket}${shard.path}`;
    const query = presignV1(
      currentSession(),
      { method: 'GET', resource },
      clock.now() + options.urlLifetimeMs,
    );
    return `${world.endpoints.download}${shard.path}?${query.toString()}`;
  }

  async function download(request: Request): Promise<Reply> {
    const shard = store.at(request.url.pathname);
    checkSignature(request, shard?.bucket ?? '');
    if (shard?.file === undefined) throw noSuchKey(request.url.pathname.slice(1));
    const { file } = shard;
    const { size, mtime, mtimeMs } = await stat(file);
    const etag = createHash('md5').update(`${shard.path} ${size} ${mtimeMs}`).digest('hex').toUpperCase();
    if (![undefined, etag, `"${etag}"`].includes(request.headers['if-match']))
      throw new OssError(
        412,
        'PreconditionFailed',
        'At least one of the pre-conditions you specified did not hold.',
      );

    const range = parseRange(request.headers['range'], size, false);
    const { start, end } = range ?? { start: 0, end: size };
    return {
      status: range === undefined ? 200 : 206,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(end - start),
        ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
        'accept-ranges': 'bytes',
        etag: `"${etag}"`,
        'last-modified': mtime.toUTCString(),
        'x-oss-object-type': 'Normal',
        'x-oss-storage-class': 'Standard',
        // The checksum is that of the whole object, also of a part of it.
        ...(options.sendsCrc64 ? { 'x-oss-hash-crc64ecma': await checksum(file, mtimeMs) } : {}),
      },
      ...(size === 0
        ? {}
        : { body: createReadStream(file, { start, end: end - 1, highWaterMark: READ_BYTES }) }),
    };
  }

  function checkSignature(request: Request, bucket: string): void {
    const query = request.url.searchParams;
    const accessKeyId = query.get('OSSAccessKeyId');
    if (accessKeyId === null) throw denied('You have no right to access this object because of bucket acl.');
    const found = identity.lookup(accessKeyId, query.get('security-token') ?? undefined);
    if (found.kind === 'expired-token')
      throw new OssError(403, 'SecurityTokenExpired', 'The security token you provided has expired.');
    if (found.kind === 'wrong-token')
      throw new OssError(403, 'InvalidSecurityToken', 'The security token you provided is invalid.');
    if (found.kind !== 'found')
      throw new OssError(
        403,
        'InvalidAccessKeyId',
        'The OSS Access Key Id you provided does not exist in our records.',
      );

    const { method, headers } = request;
    const resource = `/${bucket}${request.url.pathname}`;
    const signed = { method, resource, headers, query };
    switch (verifyPresignedV1(signed, found.principal.accessKeySecret, clock.now())) {
      case 'valid':
        return;
      case 'expired':
        throw new OssError(403, 'AccessDenied', 'Request has expired.', {
          Expires: new Date(Number(query.get('Expires')) * 1000).toISOString(),
          ServerTime: new Date(clock.now()).toISOString(),
        });
      case 'malformed':
        throw denied('Invalid date (should be seconds since epoch).');
      case 'mismatch':
        throw new OssError(
          403,
          'SignatureDoesNotMatch',
          'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
        );
    }
  }

  const service: Service = {
    name: 'download',
    route: (request) => ({
      action: 'Download',
      target: request.url.pathname,
      run: async () => download(request),
    }),
    renderError,
    commonHeaders: (requestId) => ({
      server: 'AliyunOSS',
      'x-oss-request-id': requestId,
      'x-oss-server-time': '1',
    }),
  };
  async function prepare(file: string): Promise<void> {
    if (options.sendsCrc64) await checksum(file, (await stat(file)).mtimeMs);
  }

  return { service, prepare, sign };
}

/** Larger than Node's default: it halves the work of serving a gigabyte. */
const READ_BYTES = 512 * 1024;

const denied = (message: string): OssError => new OssError(403, 'AccessDenied', message);

function renderError(error: ServiceError, requestId: string, request: Request): Reply {
  const elements = error instanceof OssError ? error.elements : {};
  return {
    status: error.status,
    headers: { 'content-type': 'application/xml' },
    body: xmlDocument('Error', {
      Code: error.code,
      Message: error.message,
      RequestId: requestId,
      HostId: request.headers['host'] ?? '',
      ...elements,
    }),
  };
}

/** Files do not change once they are served; a name with its time stands for the bytes. */
const checksums = new Map<string, Promise<string>>();

async function checksum(file: string, modifiedAt: number): Promise<string> {
  const name = `${file} ${modifiedAt}`;
  const known = checksums.get(name);
  if (known !== undefined) return known;
  const computed = computeChecksum(file);
  checksums.set(name, computed);
  computed.catch(() => checksums.delete(name));
  return computed;
}

async function computeChecksum(file: string): Promise<string> {
  const crc = await startCrc64();
  for await (const piece of createReadStream(file, { highWaterMark: READ_BYTES }))
    crc.update(piece as Buffer);
  return crc.digest().toString();
}
