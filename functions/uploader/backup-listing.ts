/** The files of one backup with fresh URLs: found by its ids or its jobs, complete or not at all. */
import { BackupError } from '../core/errors.ts';
import { joinBackups } from '../core/source/join-backups.ts';
import type { Instance, Source, SourceBackup, SourceFile } from '../core/source/source.ts';
import type { UrlSupply } from '../core/transfer/byte-source.ts';
import { retry, type RetryPolicy } from '../core/transfer/retry.ts';
import type { UploadRequest } from '../core/upload-request.ts';

export interface BackupListing {
  /** One a shard, by shard, each with a URL and a name of its own. */
  readonly files: readonly SourceFile[];
  /** The URL of a file; all files and all who read them share one renewal, because one listing renews them all. */
  urlsOf(file: SourceFile): UrlSupply;
}

/**
 * Lists the backup until it is complete, within the policy. Throws NO_DOWNLOAD_URL when it is not listed or a file
 * has no URL, BACKUP_FAILED when the service calls it failed or files of shards are missing.
 */
export async function openBackup(
  request: UploadRequest,
  source: Source,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<BackupListing> {
  const list = async (): Promise<readonly SourceFile[]> =>
    retry(async () => requireComplete(request, await findBackup(request, source, signal)), policy, signal);

  const files = await list();
  let urls = urlsByName(files);
  let renewal: Promise<void> | undefined;

  async function renewAll(): Promise<void> {
    try {
      urls = urlsByName(await list());
    } finally {
      renewal = undefined;
    }
  }

  return {
    files,
    urlsOf: ({ name }) => {
      const current = (): string => {
        const url = urls.get(name);
        if (url === undefined)
          throw new BackupError(
            'SOURCE_CHANGED',
            `renew the URL of ${name}: the backup has no such file any more`,
          );
        return url;
      };
      return {
        current,
        renew: async (refused) => {
          if (current() === refused) await (renewal ??= renewAll());
          return current();
        },
      };
    },
  };
}

function urlsByName(files: readonly SourceFile[]): ReadonlyMap<string, string> {
  return new Map(files.flatMap(({ name, url }) => (url === undefined ? [] : [[name, url] as const])));
}

/** The listing filters by start, and its clock and ours may differ; files are told apart by id, not by time. */
const SPAN_MARGIN_MS = 60 * 60_000;

async function findBackup(
  { instance, backup }: UploadRequest,
  source: Source,
  signal: AbortSignal,
): Promise<SourceBackup> {
  // Only what identifies the instance is read from it here; what it is doing now does not matter to a finished backup.
  const identity: Instance = { ...instance, status: '', tags: {} };
  const span = {
    from: new Date(Date.parse(backup.startedAt) - SPAN_MARGIN_MS).toISOString(),
    to: new Date(Date.parse(backup.endedAt) + SPAN_MARGIN_MS).toISOString(),
  };
  const listed = await source.listBackups(identity, span, signal);
  const found =
    listed.find(({ ids }) => backup.ids.every((id) => ids.includes(id))) ??
    made(listed, backup.ids, ({ ids }) => ids) ??
    (instance.architecture === 'cluster' ? made(listed, backup.jobIds, ({ jobIds }) => jobIds) : undefined);
  if (found !== undefined) return found;
  const partly = listed.find(({ ids }) => ids.some((id) => backup.ids.includes(id)));
  throw new BackupError(
    partly === undefined ? 'NO_DOWNLOAD_URL' : 'BACKUP_FAILED',
    partly === undefined
      ? `find backup ${backup.ids.join(',')} of ${instance.id}: the service does not list it`
      : `find backup ${backup.ids.join(',')} of ${instance.id}: the service lists only ${partly.ids.join(',')}`,
    { retryable: true, details: { instance: instance.id, backup: backup.ids.join(',') } },
  );
}

/**
 * The backup that is made up of exactly these ids or jobs, put together when it is listed in parts. A cluster's backup
 * may be listed under the ids of its rows first and under the id of its set later; its jobs stay the same. What has
 * only one other id or job in it is another backup and no part of this one.
 */
function made(
  listed: readonly SourceBackup[],
  wanted: readonly string[],
  idsOf: (backup: SourceBackup) => readonly string[],
): SourceBackup | undefined {
  const parts = listed.filter(
    (backup) => idsOf(backup).length > 0 && idsOf(backup).every((id) => wanted.includes(id)),
  );
  const there = new Set(parts.flatMap(idsOf));
  return wanted.every((id) => there.has(id)) ? joinBackups(parts) : undefined;
}

/** All shards or nothing: half a cluster must never look like a whole one. */
function requireComplete({ instance, backup }: UploadRequest, found: SourceBackup): readonly SourceFile[] {
  const what = `list the files of backup ${backup.ids.join(',')} of ${instance.id}`;
  const details = { instance: instance.id, backup: backup.ids.join(','), shards: instance.shards };
  if (found.state === 'failed')
    throw new BackupError('BACKUP_FAILED', `${what}: the backup has failed`, { details });
  const files = [...found.files].sort((a, b) => a.shard - b.shard);
  const missing = Array.from({ length: instance.shards }, (_, shard) => shard).filter(
    (shard) => !files.some((file) => file.shard === shard),
  );
  if (missing.length > 0 || found.state !== 'succeeded') {
    throw new BackupError(
      'BACKUP_FAILED',
      `${what}: ${missing.length > 0 ? `no file of shard ${missing.join(', ')}` : `it is ${found.state}`}`,
      { retryable: true, details: { ...details, files: files.length } },
    );
  }
  if (files.length !== instance.shards) {
    throw new BackupError('BACKUP_FAILED', `${what}: ${files.length} files for ${instance.shards} shards`, {
      details: { ...details, files: files.length },
      hint: 'the number of shards has changed since the run began; run the backup again',
    });
  }
  if (new Set(files.map(({ node }) => node)).size !== files.length)
    throw new BackupError('BACKUP_FAILED', `${what}: two files of one shard`, { details });
  const names = new Set<string>();
  for (const { name, shard, url } of files) {
    if (!isFileName(name) || names.has(name))
      throw new BackupError(
        'SOURCE_INVALID',
        `${what}: the name of shard ${shard}, "${name}", cannot be used`,
        {
          details,
        },
      );
    names.add(name);
    if (url === undefined)
      throw new BackupError('NO_DOWNLOAD_URL', `${what}: no download URL for shard ${shard}`, {
        retryable: true,
        details: { ...details, shard },
        hint: 'check that the role may read backup URLs, and that the instance type offers backup downloads',
      });
  }
  return files;
}

/** It becomes the last piece of an object key, beside the manifest. */
function isFileName(name: string): boolean {
  return /^[\w.()@+=-]{1,255}$/.test(name) && !/^\.+$/.test(name) && name !== 'manifest.json';
}
