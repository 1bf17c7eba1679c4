/**
 * Errors as OSS writes them: a code, a message, and often an `EC`, the number of the page that explains it
 * (help.aliyun.com/zh/oss/support/<EC>).
 */
import { ServiceError } from '../http.ts';

export class OssError extends ServiceError {
  /** Further elements of the error document, `BucketName` or `OSSAccessKeyId` for instance. */
  readonly elements: Readonly<Record<string, string>>;
  constructor(
    status: number,
    code: string,
    message: string,
    elements: Readonly<Record<string, string>> = {},
  ) {
    super(status, code, message);
    this.elements = elements;
  }
}

export const noSuchBucket = (bucket: string): OssError =>
  new OssError(404, 'NoSuchBucket', 'The specified bucket does not exist.', {
    BucketName: bucket,
    EC: '0015-00000101',
  });

export const noSuchKey = (key: string): OssError =>
  new OssError(404, 'NoSuchKey', 'The specified key does not exist.', { Key: key, EC: '0026-00000001' });

export const noSuchUpload = (uploadId: string): OssError =>
  new OssError(
    404,
    'NoSuchUpload',
    'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
    { UploadId: uploadId, EC: '0042-00000002' },
  );

export const fileAlreadyExists = (ec: string): OssError =>
  new OssError(
    409,
    'FileAlreadyExists',
    'The object you specified already exists and can not be overwritten.',
    {
      EC: ec,
    },
  );

export const accessDenied = (message: string, ec = '0003-00000001'): OssError =>
  new OssError(403, 'AccessDenied', message, { EC: ec });

export const invalidArgument = (name: string, value: string, message: string): OssError =>
  new OssError(400, 'InvalidArgument', message, { ArgumentName: name, ArgumentValue: value });
