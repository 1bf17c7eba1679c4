/** The reader of RDB files as a transfer's observer, and what it found as the manifest's row of a file. */
import type { RdbReport } from '../core/rdb/report.ts';
import { createRdbScanner, type RdbScanner, type ScannerCheckpoint } from '../core/rdb/scanner.ts';
import { BackupError } from '../core/errors.ts';
import { toInstant } from '../core/clock.ts';
import type { ManifestFile } from '../core/repository/manifest.ts';
import type { Observer } from '../core/transfer/transfer-file.ts';
import type { Workspace } from '../core/wasm/workspace.ts';
import { requireReadable } from './verdict.ts';

export function scanRdb(workspace: Workspace, from?: ScannerCheckpoint): RdbScanner {
  return createRdbScanner({ checksum: 'given', workspace, ...(from === undefined ? {} : { from }) });
}

export interface Observing extends Observer {
  /** After the file was accepted. */
  report(): RdbReport;
}

/** @param source its name for errors, and whether it tells a checksum of its own */
export function observeBy(
  scanner: RdbScanner,
  source: { readonly name: string; readonly crc64?: string },
): Observing {
  let report: RdbReport | undefined;
  return {
    write: (bytes) => {
      scanner.write(bytes);
      // Without a checksum from the source there is nothing to learn from the rest.
      if (source.crc64 === undefined && scanner.hasFailed()) requireReadable(scanner.end(), source.name);
    },
    accept: (jones) => {
      report = scanner.end(jones);
      requireReadable(report, source.name);
    },
    checkpoint: () => scanner.checkpoint(),
    report: () => {
      if (report === undefined)
        throw new BackupError('INTERNAL', `read ${source.name}: asked for its report before its end`);
      return report;
    },
  };
}

/** @param file `slots`: all that are the shard's, where the source tells */
export function toManifestFile(
  file: { readonly shard: number; readonly name: string; readonly slots?: string | undefined },
  key: string,
  sourceBytes: number,
  stored: { readonly bytes: number; readonly crc64: string; readonly parts: number },
  { verdict, fingerprint }: RdbReport,
): ManifestFile {
  const { version, databases, keys, expires, types, slots, digest, unchecked, aux } = fingerprint;
  const createdAt = toCreation(aux['ctime']);
  return {
    shard: file.shard,
    name: file.name,
    key,
    bytes: stored.bytes,
    sourceBytes,
    crc64: stored.crc64,
    parts: stored.parts,
    rdb: {
      version,
      verdict,
      databases: { ...databases },
      keys,
      expires,
      types: { ...types },
      slots: { ...slots, ...(file.slots === undefined ? {} : { owned: file.slots }) },
      digest,
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(unchecked === undefined ? {} : { unchecked }),
    },
  };
}

/** The field `ctime` of a file: seconds since 1970. */
function toCreation(seconds: string | undefined): string | undefined {
  return seconds !== undefined && /^\d{9,10}$/.test(seconds) ? toInstant(Number(seconds) * 1000) : undefined;
}
