import type { Request } from '../http.ts';
import type { Action } from './action.ts';
import { abortMultipartUpload } from './actions/abort-multipart-upload.ts';
import { completeMultipartUpload } from './actions/complete-multipart-upload.ts';
import { copyObject } from './actions/copy-object.ts';
import { deleteBucket } from './actions/delete-bucket.ts';
import { deleteMultipleObjects } from './actions/delete-multiple-objects.ts';
import { deleteObject } from './actions/delete-object.ts';
import { deleteObjectTagging } from './actions/delete-object-tagging.ts';
import { getBucketEncryption } from './actions/get-bucket-encryption.ts';
import { getBucketInfo } from './actions/get-bucket-info.ts';
import { getBucketLifecycle } from './actions/get-bucket-lifecycle.ts';
import { getBucketLocation } from './actions/get-bucket-location.ts';
import { getBucketOverwriteConfig } from './actions/get-bucket-overwrite-config.ts';
import { getBucketPolicy } from './actions/get-bucket-policy.ts';
import { getBucketPublicAccessBlock } from './actions/get-bucket-public-access-block.ts';
import { getBucketVersioning } from './actions/get-bucket-versioning.ts';
import { getObject } from './actions/get-object.ts';
import { getObjectMeta } from './actions/get-object-meta.ts';
import { getObjectTagging } from './actions/get-object-tagging.ts';
import { headObject } from './actions/head-object.ts';
import { initiateMultipartUpload } from './actions/initiate-multipart-upload.ts';
import { listBuckets } from './actions/list-buckets.ts';
import { listMultipartUploads } from './actions/list-multipart-uploads.ts';
import { listObjects } from './actions/list-objects.ts';
import { listObjectsV2 } from './actions/list-objects-v2.ts';
import { listParts } from './actions/list-parts.ts';
import { putBucket } from './actions/put-bucket.ts';
import { putObject } from './actions/put-object.ts';
import { putObjectTagging } from './actions/put-object-tagging.ts';
import { uploadPart } from './actions/upload-part.ts';
import { uploadPartCopy } from './actions/upload-part-copy.ts';
import type { Address } from './address.ts';

/** The action that a request asks for; undefined when the emulator has none. */
export function findAction(request: Request, address: Address): Action | undefined {
  const query = request.url.searchParams;
  if ([...query.keys()].some((name) => NOT_EMULATED.has(name))) return undefined;
  if (address.bucket === undefined) return request.method === 'GET' ? listBuckets : undefined;
  if (address.key === undefined) return bucketAction(request.method, query);
  return objectAction(request.method, query, request.headers['x-oss-copy-source'] !== undefined);
}

function bucketAction(method: string, query: URLSearchParams): Action | undefined {
  switch (method) {
    case 'GET':
      for (const [name, action] of Object.entries(SETTINGS)) if (query.has(name)) return action;
      if (query.has('uploads')) return listMultipartUploads;
      return query.get('list-type') === '2' ? listObjectsV2 : listObjects;
    case 'PUT':
      return isSetting(query) ? undefined : putBucket;
    case 'DELETE':
      return isSetting(query) ? undefined : deleteBucket;
    case 'POST':
      return query.has('delete') ? deleteMultipleObjects : undefined;
    default:
      return undefined;
  }
}

/** Told, and never changed by a request: ROS changes them, and tests. */
const SETTINGS: Readonly<Record<string, Action>> = {
  bucketInfo: getBucketInfo,
  encryption: getBucketEncryption,
  lifecycle: getBucketLifecycle,
  location: getBucketLocation,
  overwriteConfig: getBucketOverwriteConfig,
  policy: getBucketPolicy,
  publicAccessBlock: getBucketPublicAccessBlock,
  versioning: getBucketVersioning,
};

function isSetting(query: URLSearchParams): boolean {
  return Object.keys(SETTINGS).some((name) => query.has(name));
}

function objectAction(method: string, query: URLSearchParams, isCopy: boolean): Action | undefined {
  const hasUpload = query.has('uploadId');
  switch (method) {
    case 'GET':
      if (query.has('tagging')) return getObjectTagging;
      if (query.has('objectMeta')) return getObjectMeta;
      return hasUpload ? listParts : getObject;
    case 'HEAD':
      return query.has('objectMeta') ? getObjectMeta : headObject;
    case 'PUT':
      if (query.has('tagging')) return putObjectTagging;
      if (hasUpload || query.has('partNumber')) return isCopy ? uploadPartCopy : uploadPart;
      return isCopy ? copyObject : putObject;
    case 'POST':
      if (query.has('uploads')) return initiateMultipartUpload;
      return hasUpload ? completeMultipartUpload : undefined;
    case 'DELETE':
      if (query.has('tagging')) return deleteObjectTagging;
      return hasUpload ? abortMultipartUpload : deleteObject;
    default:
      return undefined;
  }
}

/** Parameters that make another action of a request. To answer as if they were not there would be worse than nothing. */
const NOT_EMULATED: ReadonlySet<string> = new Set([
  'accessPoint',
  'acl',
  'append',
  'asyncFetch',
  'callback',
  'cors',
  'inventory',
  'live',
  'logging',
  'metaQuery',
  'position',
  'qosInfo',
  'referer',
  'replication',
  'requestPayment',
  'resourceGroup',
  'restore',
  'sequential',
  'stat',
  'symlink',
  'transferAcceleration',
  'versionId',
  'versions',
  'website',
  'worm',
  'wormExtend',
  'wormId',
  'x-oss-async-process',
  'x-oss-process',
]);
