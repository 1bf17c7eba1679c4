import type { ContentSummary, Fingerprint, LogicalType } from '../rdb/report.ts';

/** One thing that is not the same on both sides, for example `keys of database 3`. */
export interface Difference {
  readonly what: string;
  readonly file: number | string;
  readonly server: number | string;
}

/** Every difference between what a file holds and what a server holds; none means that they hold the same. */
export function compareFingerprints(file: ContentSummary, server: ContentSummary): readonly Difference[] {
  const differences: Difference[] = [];
  const compare = (what: string, inFile: number | string, inServer: number | string): void => {
    if (inFile !== inServer) differences.push({ what, file: inFile, server: inServer });
  };
  compare('keys', file.keys, server.keys);
  compare('expiring keys', file.expires, server.expires);
  for (const database of bothKeys(file.databases, server.databases)) {
    compare(
      `keys of database ${database}`,
      file.databases[database]?.keys ?? 0,
      server.databases[database]?.keys ?? 0,
    );
    compare(
      `expiring keys of database ${database}`,
      file.databases[database]?.expires ?? 0,
      server.databases[database]?.expires ?? 0,
    );
  }
  const fileTypes: Readonly<Record<string, number>> = file.types;
  const serverTypes: Readonly<Record<string, number>> = server.types;
  for (const type of bothKeys(fileTypes, serverTypes))
    compare(`keys of type ${type}`, fileTypes[type] ?? 0, serverTypes[type] ?? 0);
  // What was not looked into cannot be compared: said first, because the digests then differ as well.
  compare('keys not looked into', file.unchecked ?? 0, server.unchecked ?? 0);
  compare('digest', file.digest, server.digest);
  return differences;
}

/** The part of a file's fingerprint that a server can be compared with. */
export function summaryOf(fingerprint: Fingerprint): ContentSummary {
  const types: Partial<Record<LogicalType, number>> = {};
  for (const [type, count] of Object.entries(fingerprint.types)) {
    // The keys of `types` are logical types by its own declaration.
    types[type as LogicalType] = count.keys;
  }
  const { keys, expires, databases, digest, unchecked } = fingerprint;
  return { keys, expires, databases, types, digest, ...(unchecked === undefined ? {} : { unchecked }) };
}

function bothKeys(a: object, b: object): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])];
}
