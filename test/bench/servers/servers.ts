/** The other side of every transfer, in one process: the download host, the bucket, and the listing of backups. */
import { createBucket, type Traffic } from './bucket.ts';
import { createDownloadHost } from './download-host.ts';
import { startLeanServer } from './lean-http.ts';
import { createListing, type ListedBackup } from './listing.ts';
import type { Shape } from './pace.ts';
import { openServedFile, type FileSpec } from './served-file.ts';

export interface ServersPlan {
  readonly files: readonly FileSpec[];
  readonly backups: readonly ListedBackup[];
  /** As fast as it goes if left out. */
  readonly shape?: Shape;
}

/** Addresses, without a slash at the end. */
export interface Ends {
  readonly download: string;
  readonly oss: string;
  readonly tair: string;
  readonly bytes: Readonly<Record<string, number>>;
}

export interface Servers {
  readonly ends: Ends;
  traffic(ending: string): Traffic;
  close(): void;
}

/** Resolves when the files are in memory and their checksums known. */
export async function startServers(
  { files: specs, backups, shape }: ServersPlan,
  onPart?: () => void,
): Promise<Servers> {
  const files = new Map(specs.map((spec) => [spec.name, openServedFile(spec)]));
  const bucket = createBucket(files, onPart);
  const download = await startLeanServer(createDownloadHost(files), shape);
  const oss = await startLeanServer((asked) => bucket.begin(asked), shape);
  const tair = await startLeanServer(createListing(backups, files, download.url), shape);
  return {
    ends: {
      download: download.url,
      oss: oss.url,
      tair: tair.url,
      bytes: Object.fromEntries([...files.values()].map(({ name, bytes }) => [name, bytes])),
    },
    traffic: (ending) => bucket.traffic(ending),
    close: () => {
      for (const server of [download, oss, tair]) server.close();
    },
  };
}
