/** The JSON that makes a backup exist: written last, never rewritten. Version 1. */
import * as z from 'zod';
import { BackupError } from '../errors.ts';

export const MANIFEST_VERSION = 1;

/** What was proven, each step including the ones before it. */
export const LEVELS = ['stored', 'checksummed', 'parsed', 'loaded', 'compared'] as const;
export type Level = (typeof LEVELS)[number];

const count = z.number().int().nonnegative();
const instant = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, 'an ISO 8601 instant in UTC');

export const manifestFileSchema = z.strictObject({
  shard: count,
  name: z.string().min(1),
  /** The whole object key. */
  key: z.string().min(1),
  /** Length of the stored object. */
  bytes: count,
  /** Length that the source announced when it was opened. */
  sourceBytes: count,
  /** OSS's CRC-64/XZ of the object, decimal. */
  crc64: z.string().regex(/^\d{1,20}$/),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  parts: count,
  rdb: z.strictObject({
    version: count,
    verdict: z.enum(['sound', 'truncated', 'corrupt', 'unsupported', 'unverifiable']),
    /** By database number. */
    databases: z.record(z.string(), z.strictObject({ keys: count, expires: count })),
    keys: count,
    expires: count,
    /** By logical type. */
    types: z.record(z.string(), z.strictObject({ keys: count, bytes: count })),
    /**
     * Of database 0: how many cluster slots hold keys and, of a cluster's shard, which (`0-5460,5470`); `owned` are all
     * that are the shard's, where the source says so.
     */
    slots: z.strictObject({ seen: count, ranges: z.string().optional(), owned: z.string().optional() }),
    digest: z.string(),
    /** When its writer began it, by the file's own word (`ctime`). */
    createdAt: instant.optional(),
    /** Keys whose values were too large to be looked into: the file's checksum proves them. Left out when there is none. */
    unchecked: count.optional(),
  }),
});

const manifestSchema = z.strictObject({
  version: z.literal(MANIFEST_VERSION),
  runId: z.string().min(1),
  plan: z.string().min(1),
  instance: z.strictObject({
    region: z.string(),
    id: z.string().min(1),
    name: z.string(),
    engine: z.string(),
    engineVersion: z.string(),
    architecture: z.enum(['standard', 'cluster', 'rwsplit']),
    shards: count,
  }),
  backup: z.strictObject({
    ids: z.array(z.string()),
    jobIds: z.array(z.string()),
    mode: z.enum(['manual', 'automated']),
    startedAt: instant,
    endedAt: instant,
    /** True when the backup was not started by this run. */
    adopted: z.boolean(),
  }),
  files: z.array(manifestFileSchema).min(1),
  /** Of a cluster: what its files prove together, see cluster-proof.ts. */
  cluster: z
    .strictObject({
      slots: z.enum(['owned', 'disjoint']),
      slotsSeen: count,
      emptyShards: z.array(count),
    })
    .optional(),
  level: z.enum(LEVELS),
  durationMs: count,
  tool: z.strictObject({ name: z.string(), version: z.string() }),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = Manifest['files'][number];

/** Reads a manifest. Throws `BACKUP_DAMAGED`, naming the key and every field that is wrong. */
export function parseManifest(bytes: Buffer, key: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new BackupError('BACKUP_DAMAGED', `read manifest ${key}: not JSON`, { cause });
  }
  const result = manifestSchema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new BackupError('BACKUP_DAMAGED', `read manifest ${key}: ${problems.join('; ')}`);
}

export function encodeManifest(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`);
}
