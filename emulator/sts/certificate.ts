/**
 * A self-signed certificate for the loopback addresses, made with nothing but Node: clients of STS insist on https.
 * Only as much of X.509 (RFC 5280) and of DER (X.690) is written as such a certificate needs.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** The certificate as a file, for NODE_EXTRA_CA_CERTS. The key is never written anywhere. */
  readonly certFile: string;
}

const VALID_DAYS = 365;
const DAY_MS = 86_400_000;

export async function createCertificate(folder: string): Promise<Certificate> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Date.now();
  const name = sequence(set(sequence(objectId(COMMON_NAME), utf8('localhost'))));
  const content = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    sequence(objectId(ECDSA_WITH_SHA256)),
    name,
    sequence(utcTime(now - DAY_MS), utcTime(now + VALID_DAYS * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(
      3,
      sequence(
        sequence(objectId(BASIC_CONSTRAINTS), TRUE, octets(sequence(TRUE))),
        sequence(
          objectId(SUBJECT_ALTERNATIVE_NAME),
          octets(
            sequence(element(0x82, Buffer.from('localhost')), element(0x87, Buffer.from([127, 0, 0, 1]))),
          ),
        ),
      ),
    ),
  );
  const signature = bits(sign('sha256', content, privateKey));
  const cert = toPem(sequence(content, sequence(objectId(ECDSA_WITH_SHA256)), signature));
  const certFile = join(folder, 'sts-certificate.pem');
  await writeFile(certFile, cert);
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert, certFile };
}

/** Encoded object identifiers: 2.5.4.3, 1.2.840.10045.4.3.2, 2.5.29.19, 2.5.29.17. */
const COMMON_NAME = '550403';
const ECDSA_WITH_SHA256 = '2a8648ce3d040302';
const BASIC_CONSTRAINTS = '551d13';
const SUBJECT_ALTERNATIVE_NAME = '551d11';

function element(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const TRUE = element(0x01, Buffer.from([0xff]));
const integer = (bytes: Buffer): Buffer => element(0x02, bytes);
const bits = (bytes: Buffer): Buffer => element(0x03, Buffer.concat([Buffer.from([0]), bytes]));
const octets = (bytes: Buffer): Buffer => element(0x04, bytes);
const objectId = (encoded: string): Buffer => element(0x06, Buffer.from(encoded, 'hex'));
const utf8 = (text: string): Buffer => element(0x0c, Buffer.from(text));
const sequence = (...parts: readonly Buffer[]): Buffer => element(0x30, Buffer.concat(parts));
const set = (...parts: readonly Buffer[]): Buffer => element(0x31, Buffer.concat(parts));
const explicit = (number: number, content: Buffer): Buffer => element(0xa0 + number, content);

/** `yyMMddHHmmssZ`, good until 2049. */
function utcTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/\D/g, '');
  return element(0x17, Buffer.from(`${digits.slice(2, 14)}Z`));
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
