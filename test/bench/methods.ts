/** The ways to bring a backup from a download host into OSS that are compared, each in processes of its own. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import type { PutRun } from './clients/ali-oss.ts';
import type { UploaderRun } from './clients/uploader.ts';
import type { Command } from './measure.ts';
import { BUCKET } from './servers/bucket.ts';
import { BACKUP_ID, BACKUP_JOB, ENDED_AT, STARTED_AT, type ListedBackup } from './servers/listing.ts';
import type { Ends } from './servers/servers.ts';

export const METHODS = [
  'tairlift',
  'unverified',
  'one-lane',
  'template',
  'template-python',
  'mended',
  'mended-python',
  'put-stream',
  'rclone',
  'curl-curl',
  'curl-null',
] as const;
export type MethodName = (typeof METHODS)[number];

/** One backup to be moved, once. */
export interface Job {
  readonly ends: Ends;
  readonly backup: ListedBackup;
  /** Different for each run: what is stored is never replaced. */
  readonly runId: string;
  /** Of the function that the uploader believes to run in; it decides how many lanes it opens. */
  readonly memoryMb: number;
  /** 1, or 2 after a kill. */
  readonly attempt?: number;
}

export interface Method {
  readonly says: string;
  /** Whether its manifest must have the level `parsed`. */
  readonly isVerified?: true;
  /** Whether the program is the uploader: it leaves a manifest. */
  readonly isUploader?: true;
  /** It cannot carry more than this in reasonable time, and gets a file of its own. */
  readonly isSlow?: true;
  /** What is missing to run it; undefined when nothing is. */
  missing(): string | undefined;
  command(job: Job): Command;
}

/** One folder for each entry of the build. */
const DIST = join(__dirname, '..');
const PRODUCT = join(DIST, 'uploader', 'index.js');
/** The same function, composed with a scanner and checksums that do nothing. */
const UNVERIFIED = join(DIST, 'bench-unverified', 'index.js');
/** With so little memory the uploader opens one lane; the bench says so if it opens more. */
const ONE_LANE_MEMORY_MB = 160;

export const METHOD: Readonly<Record<MethodName, Method>> = {
  tairlift: {
    says: 'tairlift, everything verified',
    isVerified: true,
    isUploader: true,
    missing: () => missingFile(PRODUCT),
    command: (job) => runUploader(PRODUCT, job),
  },
  unverified: {
    says: 'tairlift, verification off',
    isUploader: true,
    missing: () =>
      existsSync(UNVERIFIED)
        ? undefined
        : 'the build has no uploader without verification (dist/bench-unverified)',
    command: (job) => runUploader(UNVERIFIED, job),
  },
  'one-lane': {
    says: 'tairlift, everything verified, one lane',
    isVerified: true,
    isUploader: true,
    missing: () => missingFile(PRODUCT),
    command: (job) => runUploader(PRODUCT, { ...job, memoryMb: ONE_LANE_MEMORY_MB }),
  },
  template: {
    says: 'the template’s method, in JavaScript',
    isSlow: true,
    missing: () => undefined,
    command: (job) => runAliOss('template', job),
  },
  'template-python': {
    says: 'the template’s method, in Python',
    isSlow: true,
    missing: missingPython,
    command: (job) => runPython('requests.get(sys.argv[1])', 'iter(answer)', job),
  },
  mended: {
    says: 'the template, its one line mended, in JavaScript',
    missing: () => undefined,
    command: (job) => runAliOss('mended template', job),
  },
  'mended-python': {
    says: 'the template, its one line mended, in Python',
    missing: missingPython,
    command: (job) =>
      runPython('requests.get(sys.argv[1], stream=True)', 'answer.iter_content(1024 * 1024)', job),
  },
  'put-stream': {
    says: 'ali-oss putStream',
    missing: () => undefined,
    command: (job) => runAliOss('putStream', job),
  },
  rclone: {
    says: 'rclone copyurl',
    missing: () => missingProgram('rclone', ['version'], 'rclone'),
    command: ({ ends, ...job }) => {
      const [file] = filesOf({ ends, ...job });
      const remote = `:s3,provider=Other,access_key_id=bench,secret_access_key=bench,endpoint="${ends.oss}",no_check_bucket=true:`;
      return {
        program: 'rclone',
        args: ['--config', '', 'copyurl', file.from, `${remote}${BUCKET}/${file.key}`],
      };
    },
  },
  'curl-curl': {
    says: 'curl | curl',
    missing: () => missingProgram('curl', ['--version'], 'curl'),
    command: (job) => ({
      program: 'bash',
      args: [
        '-c',
        'set -eo pipefail; while [ $# -gt 0 ]; do curl -sS -f "$1" | curl -sS -f -T - -o /dev/null "$2"; shift 2; done',
        'bash',
        ...filesOf(job).flatMap(({ from, key }) => [from, `${job.ends.oss}/${BUCKET}/${key}`]),
      ],
    }),
  },
  'curl-null': {
    says: 'curl to nowhere, the limit',
    missing: () => missingProgram('curl', ['--version'], 'curl'),
    command: (job) => ({
      program: 'curl',
      args: ['-sS', '-f', ...filesOf(job).flatMap(({ from }) => ['-o', '/dev/null', from])],
    }),
  },
};

/** The interpreter itself: what is found on the PATH may be a script that looks for it, at a cost. */
function findPython(): string | undefined {
  const { status, stdout } = spawnSync('python3', ['-c', 'import requests, sys; print(sys.executable)']);
  return status === 0 ? stdout.toString().trim() : undefined;
}

/** The work order that the orchestrator would send. */
export function requestOf({ backup, runId, attempt = 1 }: Job): UploadRequest {
  const shards = backup.files.length;
  return {
    runId,
    plan: 'bench',
    date: '2026-11-20',
    attempt,
    destination: { region: 'cn-hangzhou', bucket: BUCKET, prefix: '' },
    instance: {
      region: 'cn-hangzhou',
      id: backup.instanceId,
      name: backup.instanceId,
      engine: 'Redis',
      engineVersion: '7.0',
      architecture: shards === 1 ? 'standard' : 'cluster',
      shards,
    },
    backup: {
      ids: backup.files.map((_, shard) => String(BACKUP_ID + shard)),
      jobIds: [BACKUP_JOB],
      mode: 'manual',
      startedAt: STARTED_AT,
      endedAt: ENDED_AT,
      adopted: false,
    },
  };
}

function runUploader(bundle: string, job: Job): Command {
  const run: UploaderRun = { bundle, event: requestOf(job), memoryMb: job.memoryMb };
  // Node gives V8 half of the memory of the container that it runs in.
  const heap = `--max-old-space-size=${Math.floor(job.memoryMb / 2)}`;
  return {
    program: process.execPath,
    args: [heap, join(DIST, 'bench-uploader', 'index.js'), JSON.stringify(run)],
    environment: {
      HOME: '/nonexistent',
      TAIRLIFT_ENDPOINT_TAIR: job.ends.tair,
      TAIRLIFT_ENDPOINT_OSS: job.ends.oss,
    },
  };
}

function runAliOss(way: PutRun['way'], job: Job): Command {
  const [{ from, key }] = filesOf(job);
  const run: PutRun = { way, from, oss: job.ends.oss, bucket: BUCKET, key };
  return { program: process.execPath, args: [join(DIST, 'bench-ali-oss', 'index.js'), JSON.stringify(run)] };
}

/**
 * The template's own language and HTTP client, without its SDK: that would compute a checksum besides, and pass each
 * piece through two layers more.
 */
function runPython(answer: string, body: string, job: Job): Command {
  const [{ from, key }] = filesOf(job);
  const program = [
    'import sys, requests',
    `answer = ${answer}`,
    `requests.put(sys.argv[2], data=${body}).raise_for_status()`,
  ].join('\n');
  return {
    program: findPython() ?? 'python3',
    args: ['-c', program, from, `${job.ends.oss}/${BUCKET}/${key}`],
  };
}

function missingPython(): string | undefined {
  return findPython() === undefined ? 'Python with requests is not installed' : undefined;
}

interface Moved {
  readonly from: string;
  readonly key: string;
}

function filesOf({ ends, backup, runId }: Job): readonly [Moved, ...Moved[]] {
  const [first, ...others] = backup.files.map((name) => ({
    from: `${ends.download}/${name}`,
    key: `${runId}/${name}`,
  }));
  if (first === undefined) throw new Error(`the backup of ${backup.instanceId} has no file`);
  return [first, ...others];
}

const missingFile = (path: string): string | undefined =>
  existsSync(path) ? undefined : `${path} is not there; run npm run build`;

function missingProgram(program: string, args: readonly string[], name: string): string | undefined {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0 ? undefined : `${name} is not installed`;
}
