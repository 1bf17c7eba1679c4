/**
 * An OSS that drops the bytes of files and answers as if it had kept them. It knows the files beforehand: by the first
 * bytes of a part it finds where in the file the part lies, and answers with the CRC-64 that this range must have. So
 * a client that compares is really put to the test, and one that sends something else is refused. Small objects
 * (manifests, signs of life) are kept. Signatures are not checked. The same answers satisfy clients of S3.
 */
import { crc64Xz } from '../../../functions/core/crc64.ts';
import { headersOf, sendFile } from './download-host.ts';
import type { Answer, Asked, Exchange } from './lean-http.ts';
import { isUnchecked, type ServedFile } from './served-file.ts';

export interface Bucket {
  begin(asked: Asked): Exchange;
  /** What has become of all files whose keys end so. */
  traffic(ending: string): Traffic;
}

export interface Traffic {
  /** Bodies that were on their way at the same time, at most. */
  readonly lanes: number;
  /** The numbers of the parts that arrived whole, each as often as it did; a single put is number 0. */
  readonly parts: readonly number[];
}

interface Upload {
  readonly id: string;
  readonly key: string;
  readonly file: ServedFile;
  readonly parts: Map<number, StoredPart>;
}

interface StoredPart {
  readonly bytes: number;
  readonly etag: string;
  readonly crc64: string;
}

type StoredObject = { readonly small: Buffer; readonly crc64: string } | { readonly file: ServedFile };

export const BUCKET = 'my-backups';
/** Enough to tell where in a file a body begins. */
const PREFIX_BYTES = 64;
const MODIFIED = 'Fri, 20 Nov 2026 18:03:00 GMT';

/** @param onPart is told of each part that has arrived whole */
export function createBucket(
  files: ReadonlyMap<string, ServedFile>,
  onPart: () => void = () => undefined,
): Bucket {
  const objects = new Map<string, StoredObject>();
  const uploads = new Map<string, Upload>();
  const traffic = new Map<string, { inFlight: number; lanes: number; parts: number[] }>();
  let lastUpload = 0;

  function begin(asked: Asked): Exchange {
    const { method, path, query } = asked;
    const slash = path.indexOf('/', 1);
    const key = slash < 0 ? '' : path.slice(slash + 1);
    const file = files.get(key.slice(key.lastIndexOf('/') + 1));
    if (method === 'PUT' && file !== undefined) return receiveFile(asked, key, file);
    return receiveSmall((body) => {
      if (method === 'PUT') return putSmall(asked, key, body);
      if (method === 'POST' && query.has('uploads')) return initiate(asked, key, file);
      if (method === 'POST' && query.has('uploadId')) return complete(asked, key, body);
      if (method === 'DELETE') return remove(query.get('uploadId'), key);
      if (key === '') return query.has('uploads') ? listUploads(query) : listObjects(query);
      if (query.has('uploadId')) return listParts(query);
      return getObject(asked, key);
    });
  }

  /** A part, or a whole file in one put. */
  function receiveFile(asked: Asked, key: string, file: ServedFile): Exchange {
    const number = Number(asked.query.get('partNumber') ?? 0);
    const ongoing = traffic.get(key) ?? { inFlight: 0, lanes: 0, parts: [] };
    traffic.set(key, ongoing);
    ongoing.lanes = Math.max(ongoing.lanes, ++ongoing.inFlight);
    const prefix = Buffer.alloc(PREFIX_BYTES);
    let bytes = 0;
    return {
      take: (piece) => {
        if (bytes < PREFIX_BYTES) piece.copy(prefix, bytes);
        bytes += piece.length;
      },
      cut: () => ongoing.inFlight--,
      answer: () => {
        ongoing.inFlight--;
        const start = number === 0 ? 0 : startOf(file, number, bytes, prefix.subarray(0, bytes));
        if (start === undefined || (number === 0 && bytes !== file.bytes))
          return refusal(400, 'InvalidArgument', `${bytes} bytes that are no part of ${file.name}`);
        if (number === 0 && isTaken(asked, key)) return alreadyExists();
        const upload = uploads.get(asked.query.get('uploadId') ?? '');
        if (number !== 0 && upload === undefined) return noSuchUpload();
        ongoing.parts.push(number);
        const crc64 = isUnchecked(key) ? '0' : file.crc64(start, start + bytes);
        const etag = etagOf(crc64);
        upload?.parts.set(number, { bytes, etag, crc64 });
        if (number === 0) objects.set(key, { file });
        onPart();
        return { status: 200, headers: { ...COMMON, etag: `"${etag}"`, 'x-oss-hash-crc64ecma': crc64 } };
      },
    };
  }

  function putSmall(asked: Asked, key: string, body: Buffer): Answer {
    if (isTaken(asked, key)) return alreadyExists();
    const crc = crc64Xz();
    crc.update(body);
    const crc64 = crc.value().toString();
    objects.set(key, { small: body, crc64 });
    return { status: 200, headers: { ...COMMON, etag: `"${etagOf(crc64)}"`, 'x-oss-hash-crc64ecma': crc64 } };
  }

  function initiate(asked: Asked, key: string, file: ServedFile | undefined): Answer {
    if (file === undefined) return refusal(400, 'InvalidArgument', `${key} is no file of the bench`);
    if (isTaken(asked, key)) return alreadyExists();
    const id = (++lastUpload).toString(16).padStart(32, '0').toUpperCase();
    uploads.set(id, { id, key, file, parts: new Map() });
    return xml(
      'InitiateMultipartUploadResult',
      `<Bucket>${BUCKET}</Bucket><Key>${key}</Key><UploadId>${id}</UploadId>`,
    );
  }

  function complete(asked: Asked, key: string, body: Buffer): Answer {
    const upload = uploads.get(asked.query.get('uploadId') ?? '');
    if (upload === undefined) return noSuchUpload();
    if (isTaken(asked, key)) return alreadyExists();
    const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, number]) =>
      Number(number),
    );
    const bytes = named.reduce((sum, number) => sum + (upload.parts.get(number)?.bytes ?? Number.NaN), 0);
    if (bytes !== upload.file.bytes)
      return refusal(400, 'InvalidPart', `the parts have ${bytes} bytes, the file ${upload.file.bytes}`);
    objects.set(key, { file: upload.file });
    uploads.delete(upload.id);
    const { etag = '', ...headers } = headersOf(upload.file, key);
    const told = xml(
      'CompleteMultipartUploadResult',
      `<Bucket>${BUCKET}</Bucket><Key>${key}</Key><ETag>${etag}</ETag>`,
    );
    return {
      ...told,
      headers: { ...COMMON, etag, 'x-oss-hash-crc64ecma': headers['x-oss-hash-crc64ecma'] ?? '' },
    };
  }

  function remove(uploadId: string | null, key: string): Answer {
    if (uploadId === null) objects.delete(key);
    else uploads.delete(uploadId);
    return { status: 204, headers: COMMON };
  }

  function getObject({ headers }: Asked, key: string): Answer {
    const object = objects.get(key);
    if (object === undefined) return refusal(404, 'NoSuchKey', 'The specified key does not exist.');
    if ('file' in object) return sendFile(object.file, key, headers);
    return {
      status: 200,
      headers: {
        ...COMMON,
        etag: `"${etagOf(object.crc64)}"`,
        'last-modified': MODIFIED,
        'x-oss-hash-crc64ecma': object.crc64,
      },
      body: object.small,
    };
  }

  function listParts(query: URLSearchParams): Answer {
    const upload = uploads.get(query.get('uploadId') ?? '');
    if (upload === undefined) return noSuchUpload();
    const marker = Number(query.get('part-number-marker') ?? 0);
    const max = Number(query.get('max-parts') ?? 1000);
    const rest = [...upload.parts].filter(([number]) => number > marker).sort(([a], [b]) => a - b);
    const page = rest.slice(0, max);
    const rows = page.map(
      ([number, { bytes, etag, crc64 }]) =>
        `<Part><PartNumber>${number}</PartNumber><LastModified>2026-11-20T18:03:00.000Z</LastModified>` +
        `<ETag>"${etag}"</ETag><HashCrc64ecma>${crc64}</HashCrc64ecma><Size>${bytes}</Size></Part>`,
    );
    return xml(
      'ListPartsResult',
      `<Bucket>${BUCKET}</Bucket><Key>${upload.key}</Key><UploadId>${upload.id}</UploadId>` +
        `<NextPartNumberMarker>${page.at(-1)?.[0] ?? marker}</NextPartNumberMarker><MaxParts>${max}</MaxParts>` +
        `<IsTruncated>${rest.length > page.length}</IsTruncated>${rows.join('')}`,
    );
  }

  function listUploads(query: URLSearchParams): Answer {
    const rows = [...uploads.values()]
      .filter(({ key }) => key.startsWith(query.get('prefix') ?? ''))
      .map(
        ({ id, key }) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>2026-11-20T18:03:00.000Z</Initiated></Upload>`,
      );
    return xml(
      'ListMultipartUploadsResult',
      `<Bucket>${BUCKET}</Bucket><IsTruncated>false</IsTruncated>${rows.join('')}`,
    );
  }

  function listObjects(query: URLSearchParams): Answer {
    const rows = [...objects]
      .filter(([key]) => key.startsWith(query.get('prefix') ?? ''))
      .map(
        ([key, object]) =>
          `<Contents><Key>${key}</Key><LastModified>2026-11-20T18:03:00.000Z</LastModified><ETag>"0"</ETag>` +
          `<Type>Normal</Type><Size>${'file' in object ? object.file.bytes : object.small.length}</Size>` +
          '<StorageClass>Standard</StorageClass></Contents>',
      );
    return xml(
      'ListBucketResult',
      `<Name>${BUCKET}</Name><IsTruncated>false</IsTruncated><KeyCount>${rows.length}</KeyCount>${rows.join('')}`,
    );
  }

  const isTaken = ({ headers }: Asked, key: string): boolean =>
    headers.get('x-oss-forbid-overwrite') === 'true' && objects.has(key);

  return {
    begin,
    traffic: (ending) => {
      const seen = [...traffic].filter(([key]) => key.endsWith(ending)).map(([, one]) => one);
      return {
        lanes: Math.max(0, ...seen.map(({ lanes }) => lanes)),
        parts: seen.flatMap(({ parts }) => parts),
      };
    },
  };
}

/**
 * Where a part lies: all parts but the last are equally long, and the last one ends with the file. Both are looked at,
 * because the length alone does not tell which of them it is.
 */
function startOf(file: ServedFile, number: number, bytes: number, prefix: Buffer): number | undefined {
  return [(number - 1) * bytes, file.bytes - bytes].find(
    (start) =>
      start >= 0 &&
      start + bytes <= file.bytes &&
      Buffer.concat([...file.pieces(start, start + prefix.length)]).equals(prefix),
  );
}

/** Kept until the request has ended. */
function receiveSmall(answer: (body: Buffer) => Answer): Exchange {
  const pieces: Buffer[] = [];
  return {
    take: (piece) => void pieces.push(Buffer.from(piece)),
    answer: () => answer(Buffer.concat(pieces)),
  };
}

const COMMON = { server: 'AliyunOSS', 'x-oss-request-id': 'bench' } as const;

const etagOf = (crc64: string): string => BigInt(crc64).toString(16).padStart(32, '0').toUpperCase();

function xml(root: string, content: string): Answer {
  return {
    status: 200,
    headers: { ...COMMON, 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<${root}>${content}</${root}>`,
  };
}

function refusal(status: number, code: string, message: string): Answer {
  return {
    ...xml('Error', `<Code>${code}</Code><Message>${message}</Message><RequestId>bench</RequestId>`),
    status,
  };
}

const alreadyExists = (): Answer =>
  refusal(409, 'FileAlreadyExists', 'The object you specified already exists and can not be overwritten.');
const noSuchUpload = (): Answer => refusal(404, 'NoSuchUpload', 'The specified upload does not exist.');
