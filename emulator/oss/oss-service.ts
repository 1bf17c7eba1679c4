/**
 * OSS: buckets on disk behind the REST API, with signatures of both versions. Which bucket a request means, who
 * signed it and whether they may is settled here; the actions only act.
 */
import { join } from 'node:path';
import { ServiceError, type Reply, type Request, type Route, type Service } from '../http.ts';
import { verdictOn, type Principal } from '../identity.ts';
import { many, matches, type Statement } from '../policy.ts';
import type { BucketSettings, BucketSpec, World } from '../world.ts';
import type { Action } from './action.ts';
import { addressesOf, resourceOf, type Address } from './address.ts';
import { findAction } from './find-action.ts';
import { accessDenied, noSuchBucket, noSuchKey, OssError } from './oss-error.ts';
import { authenticate } from './signature/authenticate.ts';
import { openStore, type Bucket, type Store, type StoredObject, type Upload } from './store.ts';
import { xmlDocument } from './xml.ts';

/** The service, and a look behind its counter for tests and the demo: no signatures, no journal, no faults. */
export interface Oss {
  readonly service: Service;
  /** Waits until everything is on disk. */
  stop(): Promise<void>;
  /** Does nothing when the bucket exists. */
  createBucket(spec: BucketSpec): Promise<void>;
  /** Undefined when there is no such bucket. */
  bucket(name: string): Bucket | undefined;
  /** Replaces the settings that are given. */
  configure(bucket: string, settings: BucketSettings): Promise<void>;
  deleteBucket(bucket: string): Promise<void>;
  /** The bucket's objects in the order of their keys. Throws when there is no such bucket, as do all below. */
  list(bucket: string): readonly StoredObject[];
  /** The whole object. Throws when it is not there. */
  read(bucket: string, key: string): Promise<Buffer>;
  /** Multipart uploads that were neither completed nor aborted. */
  uploads(bucket: string): readonly Upload[];
  /** Flips the lowest bit of one stored byte, as a failing disk would: size, ETag and checksum stay as they were. */
  corrupt(bucket: string, key: string, atByte: number): Promise<void>;
  /** False when the object was not there. */
  remove(bucket: string, key: string): Promise<boolean>;
}

export async function createOss(world: World, buckets: readonly BucketSpec[]): Promise<Oss> {
  const store = await openStore(join(world.folder, 'oss'));
  const createBucket = async (spec: BucketSpec): Promise<void> => {
    await store.createBucket({ accountId: world.accountId, ...spec }, world.clock.now());
  };
  for (const spec of buckets) await createBucket(spec);

  const bucketOf = (name: string): Bucket => found(store.bucket(name), noSuchBucket(name));
  const objectOf = (bucket: string, key: string): StoredObject =>
    found(bucketOf(bucket).objects.get(key), noSuchKey(key));

  return {
    service: createService(world, store),
    stop: async () => store.settled(),
    createBucket,
    bucket: (name) => store.bucket(name),
    configure: async (bucket, settings) => bucketOf(bucket).configure(settings),
    deleteBucket: async (bucket) => store.deleteBucket(bucketOf(bucket).name),
    list: (bucket) => bucketOf(bucket).keys.map((key) => objectOf(bucket, key)),
    read: async (bucket, key) => {
      const pieces: Buffer[] = [];
      for await (const piece of bucketOf(bucket).read(objectOf(bucket, key))) pieces.push(piece as Buffer);
      return Buffer.concat(pieces);
    },
    uploads: (bucket) => [...bucketOf(bucket).uploads.values()],
    corrupt: async (bucket, key, atByte) => bucketOf(bucket).corrupt(objectOf(bucket, key), atByte),
    remove: async (bucket, key) => bucketOf(bucket).remove(key),
  };
}

function createService(world: World, store: Store): Service {
  function route(request: Request): Route {
    const address = chooseAddress(request, world);
    const action = findAction(request, address);
    return {
      action: action?.name ?? 'NotEmulated',
      target: [address.bucket, address.key].filter((part) => part !== undefined).join('/'),
      run: async (noteCaller) => perform(request, address, action, noteCaller),
    };
  }

  async function perform(
    request: Request,
    address: Address,
    action: Action | undefined,
    noteCaller: (arn: string) => void,
  ): Promise<Reply> {
    const bucket = address.bucket === undefined ? undefined : store.bucket(address.bucket);
    const principal = authenticate(request, resourceOf(address), world.identity, bucket?.region);
    if (principal !== undefined) noteCaller(principal.arn);
    if (action === undefined)
      throw new OssError(
        501,
        'NotImplemented',
        'A header or query you provided implies functionality that is not implemented.',
      );
    const allowed = authorize(request, principal, action, address, bucket);
    const call = {
      request,
      query: request.url.searchParams,
      principal: allowed,
      store,
      now: world.clock.now(),
      bucketName: address.bucket ?? '',
      region: address.region ?? regionOfSignature(request) ?? 'cn-hangzhou',
      demand: (permission: string, other?: Address) =>
        demand(request, allowed, permission, other ?? address, store.bucket((other ?? address).bucket ?? '')),
    };
    if (action.on === 'service') return action.perform(call);
    const present = found(bucket, noSuchBucket(call.bucketName));
    if (action.on === 'bucket') return action.perform({ ...call, bucket: present });
    const key = address.key ?? '';
    if (Buffer.byteLength(key) > MAX_KEY_BYTES || /^[/\\]/.test(key))
      throw new OssError(400, 'InvalidObjectName', 'The specified object is not valid.', { Key: key });
    return action.perform({ ...call, bucket: present, key });
  }

  return {
    name: 'oss',
    route,
    renderError,
    commonHeaders: (requestId) => ({
      server: 'AliyunOSS',
      'x-oss-request-id': requestId,
      'x-oss-server-time': '1',
    }),
  };
}

const MAX_KEY_BYTES = 1023;

/** Of several readings the one that was signed; the first when none was, so that it gets the error. */
function chooseAddress(request: Request, world: World): Address {
  const [first = {}, ...others] = addressesOf(request);
  if (others.length === 0 || isSignedFor(first)) return first;
  return others.find(isSignedFor) ?? first;

  function isSignedFor(address: Address): boolean {
    try {
      authenticate(request, resourceOf(address), world.identity, undefined);
      return true;
    } catch (error) {
      return !(error instanceof ServiceError && error.code === 'SignatureDoesNotMatch');
    }
  }
}

function authorize(
  request: Request,
  principal: Principal | undefined,
  action: Action,
  address: Address,
  bucket: Bucket | undefined,
): Principal {
  if (action.on !== 'service' && bucket === undefined) throw noSuchBucket(address.bucket ?? '');
  if (principal === undefined)
    throw accessDenied('You have no right to access this object because of bucket acl.');
  if (bucket !== undefined && action.on !== 'service') {
    if (bucket.accountId !== principal.accountId)
      throw accessDenied('The bucket you access does not belong to you.');
    if (address.region !== undefined && address.region !== bucket.region)
      throw new OssError(
        403,
        'AccessDenied',
        'The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.',
        { Bucket: bucket.name, Endpoint: `oss-${bucket.region}.aliyuncs.com`, EC: '0003-00001403' },
      );
  }
  demand(request, principal, action.permission, address, bucket);
  return principal;
}

/** The policies of the caller and of the bucket together must allow it, and neither may deny it. */
function demand(
  request: Request,
  principal: Principal,
  permission: string,
  address: Address,
  bucket: Bucket | undefined,
): void {
  const resource = arnOf(principal, address, bucket);
  const query = request.url.searchParams;
  const context = {
    'acs:SecureTransport': String(request.isSecure),
    'acs:SourceIp': '127.0.0.1',
    'oss:Prefix': query.get('prefix') ?? '',
    'oss:Delimiter': query.get('delimiter') ?? '',
  };
  const ofBucket = (bucket?.policy?.Statement ?? []).filter((statement) => speaksTo(statement, principal));
  const verdict = verdictOn(principal, { action: permission, resource, context }, ofBucket);
  if (verdict === 'denied')
    throw accessDenied(`A policy denies ${permission} on ${resource}.`, '0003-00000201');
  if (verdict === 'silent')
    throw accessDenied(
      `The policy of the caller does not allow ${permission} on ${resource}.`,
      '0003-00000301',
    );
}

/** https://www.alibabacloud.com/help/en/oss/user-guide/overview-25 */
function arnOf(
  principal: Principal,
  { bucket: name, key, region }: Address,
  bucket: Bucket | undefined,
): string {
  const place = `acs:oss:oss-${bucket?.region ?? region ?? 'cn-hangzhou'}:${bucket?.accountId ?? principal.accountId}`;
  if (name === undefined) return `${place}:*`;
  return `${place}:${name}${key === undefined ? '' : `/${key}`}`;
}

/** A bucket policy names accounts by their id, roles by the ARN of their sessions, everybody by `*`. */
function speaksTo({ Principal: named = [] }: Statement, { accountId, arn }: Principal): boolean {
  const session = arn.replace(/^acs:ram::(\d+):assumed-role\//, 'arn:sts::$1:assumed-role/');
  return many(named).some((one) => one === '*' || one === accountId || matches(one, session));
}

/** Where a bucket is made when neither the host name nor the request says it. */
const regionOfSignature = ({ headers }: Request): string | undefined =>
  /Credential=[^/]+\/\d{8}\/([a-z0-9-]+)\//.exec(headers['authorization'] ?? '')?.[1];

/** The error as a document and, because an answer to HEAD has none, also in a header. */
function renderError(error: ServiceError, requestId: string, request: Request): Reply {
  const elements = error instanceof OssError ? error.elements : {};
  const { EC: ec, ...rest } = elements;
  const body = xmlDocument('Error', {
    Code: error.code,
    Message: error.message,
    RequestId: requestId,
    HostId: request.headers['host'] ?? '',
    ...rest,
    EC: ec,
    RecommendDoc: ec === undefined ? undefined : `https://api.aliyun.com/troubleshoot?q=${ec}`,
  });
  return {
    status: error.status,
    headers: {
      'content-type': 'application/xml',
      ...(ec === undefined ? {} : { 'x-oss-ec': ec }),
      ...(request.method === 'HEAD' ? { 'x-oss-err': Buffer.from(body).toString('base64') } : {}),
    },
    body,
  };
}

function found<T>(value: T | undefined, otherwise: Error): T {
  if (value === undefined) throw otherwise;
  return value;
}
