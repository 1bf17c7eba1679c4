/** What the orchestrator asks of the uploader, and what the uploader leaves behind. Both sides read it from here. */
import * as z from 'zod';
import { BackupError, type ErrorRecord } from './errors.ts';
import { serverSchema } from './redis/server.ts';

const uploadRequestSchema = z.strictObject({
  runId: z.string().min(1),
  plan: z.string().min(1),
  /** The run's date, for the keys. */
  date: z.string().regex(/^\d{4}-\d\d-\d\d$/),
  /** 1 for the first invocation of this instance in this run, then counting. */
  attempt: z.number().int().positive(),
  destination: z.strictObject({ region: z.string().min(1), bucket: z.string().min(1), prefix: z.string() }),
  /** The role to assume in the account that owns the instance, when it is not the function's own. */
  account: z.strictObject({ roleArn: z.string(), externalId: z.string().optional() }).optional(),
  /** How the instance is reached, when it is a server of one's own. Of its password only the variable's name. */
  server: serverSchema.optional(),
  instance: z.strictObject({
    region: z.string().min(1),
    id: z.string().min(1),
    name: z.string(),
    engine: z.string(),
    engineVersion: z.string(),
    architecture: z.enum(['standard', 'cluster', 'rwsplit']),
    shards: z.number().int().positive(),
  }),
  /** What this upload may use of the run's bandwidth; as much as there is if left out. */
  bytesPerSecond: z.number().positive().optional(),
  backup: z.strictObject({
    ids: z.array(z.string()).min(1),
    jobIds: z.array(z.string()),
    mode: z.enum(['manual', 'automated']),
    startedAt: z.string(),
    endedAt: z.string(),
    adopted: z.boolean(),
  }),
});

export type UploadRequest = z.infer<typeof uploadRequestSchema>;

/** Parses an uploader event. Throws `CONFIG_INVALID` that names every field that is wrong. */
export function parseUploadRequest(event: Buffer): UploadRequest {
  let json: unknown;
  try {
    json = JSON.parse(event.toString('utf8'));
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', 'read the uploader event: not JSON', {
      cause,
      hint: 'the uploader is invoked by the orchestrator; invoke the orchestrator with {"plan":"<name>"} instead',
    });
  }
  const result = uploadRequestSchema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'event'}: ${issue.message}`);
  throw new BackupError('CONFIG_INVALID', `read the uploader event: ${problems.join('; ')}`, {
    hint: 'the uploader is invoked by the orchestrator; invoke the orchestrator with {"plan":"<name>"} instead',
  });
}

/**
 * The step `outcome-<attempt>` that an uploader writes as its last act. A stored outcome is only a hint that the
 * manifest is there: the orchestrator reads the manifest itself. `continued`: its time was over before the work was,
 * and the next invocation goes on where it stopped. No outcome and no manifest means it is still at work, or dead.
 */
export type UploadOutcome =
  | {
      readonly status: 'stored';
      readonly attempt: number;
      readonly finishedAt: string;
      readonly manifest: string;
    }
  | {
      readonly status: 'continued';
      readonly attempt: number;
      readonly finishedAt: string;
      /** What need not be done again: bytes of stored files, and of parts that a resume point vouches for. */
      readonly keptBytes: number;
    }
  | {
      readonly status: 'failed';
      readonly attempt: number;
      readonly finishedAt: string;
      readonly error: ErrorRecord;
    };

/**
 * The step `progress-<attempt>-<request id>-<n>` that an uploader leaves when it begins and then every minute or so
 * while it works; `n` grows. That they keep coming proves that it lives; their content is for people who watch.
 */
export interface UploadProgress {
  readonly attempt: number;
  /** ISO 8601, UTC, by the uploader's clock. */
  readonly at: string;
  /** Of all files, as far as they are opened. */
  readonly doneBytes: number;
  /** 0 while the files are not opened yet. */
  readonly bytes: number;
  readonly files: number;
  /** Files of which every byte has arrived. */
  readonly filesDone: number;
}
