/** A call of an RPC-style API as version 1 of the signature has it: all in the query but the action's own, in a form. */
import { createHmac, randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AccessKey } from '../../emulator/identity.ts';

export interface RpcAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface RpcCall {
  readonly endpoint: string;
  readonly version: string;
  readonly action: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly key: AccessKey & { readonly securityToken?: string };
  /** The certificate to trust, over https. */
  readonly ca?: string;
}

export async function askRpc({
  endpoint,
  version,
  action,
  parameters,
  key,
  ca,
}: RpcCall): Promise<RpcAnswer> {
  const query: Record<string, string> = {
    Action: action,
    Version: version,
    Format: 'JSON',
    Timestamp: new Date().toISOString().replace(/\.\d{3}/, ''),
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: randomUUID(),
    AccessKeyId: key.accessKeyId,
    ...(key.securityToken === undefined ? {} : { SecurityToken: key.securityToken }),
  };
  const encode = (text: string): string =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  const pairs = Object.entries({ ...query, ...parameters }).sort(([a], [b]) => (a < b ? -1 : 1));
  const canonical = pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
  query['Signature'] = createHmac('sha1', `${key.accessKeySecret}&`)
    .update(`POST&${encode('/')}&${encode(canonical)}`)
    .digest('base64');
  return new Promise((resolve, reject) => {
    const send = endpoint.startsWith('https:') ? httpsRequest : httpRequest;
    const request = send(
      `${endpoint}/?${new URLSearchParams(query).toString()}`,
      {
        method: 'POST',
        ...(ca === undefined ? {} : { ca }),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
      (response) => {
        let text = '';
        response
          .setEncoding('utf8')
          .on('data', (piece: string) => (text += piece))
          .once('end', () =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as RpcAnswer['body'] }),
          );
      },
    );
    request.once('error', reject).end(new URLSearchParams(parameters).toString());
  });
}
