/** Which bucket and key a request means. */
import type { Request } from '../http.ts';

export interface Address {
  /** Undefined: the service itself. */
  readonly bucket?: string;
  /** Undefined: the bucket itself. */
  readonly key?: string;
  /** The region that the host name stands for, if it stands for one. */
  readonly region?: string;
}

/** Bucket and key as signatures write them. */
export function resourceOf({ bucket, key }: Address): string {
  return bucket === undefined ? '/' : `/${bucket}/${key ?? ''}`;
}

/**
 * All readings of a request, most plausible first. OSS itself takes the bucket from the host name. A client that is
 * told to use an IP address sends such a host name as well, or has the bucket in the path, or both (`ali-oss` with
 * `sldEnable`): what was signed tells them apart.
 */
export function addressesOf(request: Request): readonly Address[] {
  const [path = '/'] = request.rawUrl.replace(/^https?:\/\/[^/?]*/, '').split('?', 1);
  const decoded = decode(path).slice(1);
  const [bucket = '', ...rest] = decoded.split('/');
  const key = rest.join('/');
  const byPath: Address = { ...(bucket === '' ? {} : { bucket }), ...(key === '' ? {} : { key }) };

  const host = (request.headers['host'] ?? '').replace(/:\d+$/, '');
  const [, subdomain, endpoint] = /^(.+)\.(oss[a-z0-9-]*\.aliyuncs\.com|localhost)$/.exec(host) ?? [];
  if (subdomain === undefined) return [byPath];
  const [, region] = /^oss-([a-z0-9-]+?)(-internal)?\.aliyuncs\.com$/.exec(endpoint ?? '') ?? [];
  const byHost: Address = {
    bucket: subdomain,
    ...(decoded === '' ? {} : { key: decoded }),
    ...(region === undefined ? {} : { region }),
  };
  return [byHost, byPath];
}

/** What is not valid percent-encoding stays as it is; no signature will fit it. */
function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
