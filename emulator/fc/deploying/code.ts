/**
 * The code of a function: taken from the request or from a bucket, unpacked into a folder. Clients bring it to a bucket
 * of the service first, with a token for one object.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-struct-inputcodelocation
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Identity, Principal, Session } from '../../identity.ts';
import { startCrc64 } from '../../oss/crc64.ts';
import type { Oss } from '../../oss/oss-service.ts';
import { invalidArgument, type CodeInput } from './function-config.ts';
import { unzip } from './unzip.ts';

export interface Code {
  readonly folder: string;
  /** CRC-64/XZ of the archive, in decimal: clients compare it, and send nothing that is there already. */
  readonly checksum: string;
  readonly size: number;
}

export interface CodeStore {
  /**
   * @throws ServiceError InvalidArgument when there is no such code, or it is no archive, or too large
   */
  take(caller: Principal, functionName: string, input: CodeInput): Promise<Code>;
  /** A session that may write one object into the bucket for code, below the account's id. */
  token(caller: Principal, region: string): Promise<TempBucketToken>;
}

export interface TempBucketToken {
  readonly session: Session;
  readonly bucket: string;
  readonly objectName: string;
}

/** What of OSS the code is brought by. */
export type CodeBuckets = Pick<Oss, 'createBucket' | 'bucket' | 'read'>;

const SERVICE_ACCOUNT = '1000000000000001';
const MAX_ARCHIVE_BYTES = 500 * 1024 * 1024;
const MAX_INLINE_BYTES = 100 * 1024 * 1024;
const MAX_UNPACKED_BYTES = 1024 * 1024 * 1024;
const TOKEN_SECONDS = 3600;

export function createCodeStore(identity: Identity, folder: string, oss: CodeBuckets | undefined): CodeStore {
  async function read(caller: Principal, input: CodeInput): Promise<Buffer> {
    const { zipFile, ossBucketName: bucketName, ossObjectName: key } = input;
    if (zipFile !== undefined) {
      const archive = Buffer.from(zipFile, 'base64');
      if (archive.length > MAX_INLINE_BYTES)
        throw invalidArgument(`code.zipFile: more than ${MAX_INLINE_BYTES} bytes`);
      return archive;
    }
    if (bucketName === undefined || key === undefined)
      throw invalidArgument('code: either zipFile, or ossBucketName and ossObjectName');
    const bucket = oss?.bucket(bucketName);
    const isOurs = bucket?.accountId === SERVICE_ACCOUNT && key.startsWith(`${caller.accountId}/`);
    if (bucket === undefined || !(isOurs || bucket.accountId === caller.accountId))
      throw invalidArgument(`code: bucket '${bucketName}' does not exist, or is not accessible`);
    const size = bucket.objects.get(key)?.size;
    if (size === undefined || oss === undefined)
      throw invalidArgument(`code: object '${key}' does not exist in bucket '${bucketName}'`);
    if (size > MAX_ARCHIVE_BYTES) throw invalidArgument(`code: more than ${MAX_ARCHIVE_BYTES} bytes`);
    return oss.read(bucketName, key);
  }

  return {
    async take(caller, functionName, input) {
      const archive = await read(caller, input);
      const running = await startCrc64();
      running.update(archive);
      const checksum = running.digest().toString();
      if (input.checksum !== undefined && input.checksum !== '' && input.checksum !== checksum)
        throw invalidArgument(`code.checksum: ${input.checksum} is not that of the archive, ${checksum}`);
      // One folder each time: whatever still runs keeps the code that it began with.
      const own = join(folder, functionName, `${checksum}-${randomUUID().slice(0, 8)}`);
      await unpack(archive, own);
      return { folder: own, checksum, size: archive.length };
    },
    async token(caller, region) {
      const bucket = `serverless-tool-code-${region}`;
      await oss?.createBucket({ name: bucket, region, accountId: SERVICE_ACCOUNT });
      const objectName = `${randomUUID()}.zip`;
      const resource = `acs:oss:*:*:${bucket}/${caller.accountId}/${objectName}`;
      const role = identity.addRole({
        accountId: SERVICE_ACCOUNT,
        name: `code-of-${objectName}`,
        trusts: [],
        allow: [],
        policies: [
          {
            name: 'write-code',
            type: 'Custom',
            document: {
              Version: '1',
              Statement: [{ Effect: 'Allow', Action: 'oss:PutObject', Resource: resource }],
            },
          },
        ],
      });
      return { session: identity.issue(role, 'code', TOKEN_SECONDS), bucket, objectName };
    },
  };
}

async function unpack(archive: Buffer, folder: string): Promise<void> {
  try {
    for (const { path, content } of unzip(archive, MAX_UNPACKED_BYTES)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    await mkdir(folder, { recursive: true });
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    if (error instanceof RangeError)
      throw invalidArgument(`code: the archive cannot be unpacked: ${error.message}`);
    throw error;
  }
}
