import type { Reply, Request } from '../http.ts';
import { OssError } from './oss-error.ts';
import type { StoredObject } from './store.ts';

/** An answer that replaces the object: 304, or PreconditionFailed thrown. Undefined when the conditions hold. */
export function checkConditions({ headers }: Request, object: StoredObject): Reply | undefined {
  const modifiedAt = Math.floor(object.lastModifiedAt / 1000) * 1000;
  const isSame = (header: string): boolean => header === '*' || header.replaceAll('"', '') === object.etag;

  const match = headers['if-match'];
  if (match !== undefined && !isSame(match)) throw preconditionFailed('If-Match');
  const unmodifiedSince = Date.parse(headers['if-unmodified-since'] ?? '');
  if (modifiedAt > unmodifiedSince) throw preconditionFailed('If-Unmodified-Since');

  const noneMatch = headers['if-none-match'];
  const modifiedSince = Date.parse(headers['if-modified-since'] ?? '');
  const isUnchanged = noneMatch === undefined ? modifiedAt <= modifiedSince : isSame(noneMatch);
  return isUnchanged ? { status: 304, headers: { etag: `"${object.etag}"` } } : undefined;
}

export const preconditionFailed = (condition: string): OssError =>
  new OssError(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold.', {
    Condition: condition,
  });
