/**
 * Version 1 of the OpenAPI signature for RPC-style APIs: HMAC-SHA1 over the method and all parameters, those of the
 * query and those of a form in the body alike, sorted.
 * https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism
 */
import { createHmac } from 'node:crypto';
import { canonicalQuery, percentEncode, sameText } from './acs3.ts';

/** Is it this secret that signed these parameters? `Signature` itself is not part of what is signed. */
export function verifyRpcV1(
  method: string,
  parameters: ReadonlyMap<string, string>,
  accessKeySecret: string,
): boolean {
  const signed = [...parameters].filter(([name]) => name !== 'Signature');
  const stringToSign = [method, percentEncode('/'), percentEncode(canonicalQuery(signed))].join('&');
  const expected = createHmac('sha1', `${accessKeySecret}&`).update(stringToSign).digest('base64');
  return sameText(expected, parameters.get('Signature') ?? '');
}
