/**
 * The judge believes the bytes in the bucket and nothing else. A success is a manifest whose files are the source's,
 * byte for byte; a failure has a name and leaves no manifest; whatever is neither is a false success.
 */
import { readFile } from 'node:fs/promises';
import type { AsyncTask } from '../../emulator/fc/async-tasks.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import type { Place } from './place.ts';
import { BUCKET, UPLOADER } from './site.ts';

export type Verdict =
  | { readonly kind: 'survived' }
  | { readonly kind: 'loud'; readonly code: string; readonly message: string }
  /** Also silence: that nothing was reported in time. */
  | { readonly kind: 'false'; readonly why: string };

/** What was reported to whoever asked for the backup. */
export type Report =
  | { readonly kind: 'stored'; readonly manifest: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'nothing'; readonly why: string };

export async function judge(place: Place, task: AsyncTask | undefined): Promise<Verdict> {
  const report = await reportOf(place, task);
  const secret = await findSecret(place);
  if (secret !== undefined) return { kind: 'false', why: `a secret is in ${secret}` };
  const manifests = objectsOf(place)
    .map(({ key }) => key)
    .filter((key) => key.endsWith('/manifest.json'));
  if (report.kind === 'nothing') return { kind: 'false', why: `silence: ${report.why}` };
  if (report.kind === 'failed') {
    if (manifests.length > 0)
      return { kind: 'false', why: `failed (${report.code}), and a manifest is there` };
    return { kind: 'loud', code: report.code, message: report.message };
  }
  const [manifest] = manifests;
  if (manifests.length !== 1 || manifest !== `${place.folder}manifest.json` || manifest !== report.manifest)
    return { kind: 'false', why: `${report.manifest} is stored, and there is ${manifests.join(', ')}` };
  const wrong = await whatIsWrong(place, manifest);
  return wrong === undefined ? { kind: 'survived' } : { kind: 'false', why: `stored, but ${wrong}` };
}

function objectsOf({ emulator, instance }: Place): ReturnType<Place['emulator']['oss']['list']> {
  return emulator.oss.list(BUCKET).filter(({ key }) => key.startsWith(`Backup_${instance}/`));
}

/** The backup against the files that it was made of. Undefined when they are the same in everything. */
async function whatIsWrong(place: Place, manifestKey: string): Promise<string | undefined> {
  const { emulator, files, instance, runId } = place;
  const { oss, tair } = emulator;
  const manifest = parseManifest(await oss.read(BUCKET, manifestKey), manifestKey);
  if (manifest.instance.id !== instance || manifest.runId !== runId)
    return 'the manifest is of another backup';
  if (manifest.level !== 'parsed') return `its level is ${manifest.level}`;
  if (manifest.files.length !== files.length) return `it has ${manifest.files.length} files`;
  if (tair.backups(instance).length !== 1) return `${tair.backups(instance).length} backups were made`;
  const objects = objectsOf(place);
  if (objects.length !== files.length + 1) return 'there are objects beside its files';
  for (const [at, { key, bytes, sourceBytes, crc64, rdb }] of manifest.files.entries()) {
    const object = objects.find((one) => one.key === key);
    const truth = files[at];
    if (object === undefined || truth === undefined) return `${key} is not there`;
    const stored = await oss.read(BUCKET, key);
    if (!stored.equals(await readFile(truth.path))) return `${key} has other bytes`;
    if (bytes !== truth.bytes || sourceBytes !== truth.bytes) return `${key} is noted with ${bytes} bytes`;
    if (object.crc64 !== crc64) return `${key} is noted with another checksum`;
    if (rdb.verdict !== 'sound' || rdb.keys === 0) return `${key} is noted as ${rdb.verdict}`;
  }
  return undefined;
}

/** The uploader returns what it has stored; a run leaves a summary, which its function's own end must agree with. */
async function reportOf({ emulator: { oss }, runId }: Place, task: AsyncTask | undefined): Promise<Report> {
  if (task === undefined) return { kind: 'nothing', why: 'nothing ended in time' };
  const { functionName, status, returnPayload = '', errorMessage = '' } = task;
  if (functionName === UPLOADER)
    return status === 'Succeeded' ? storedBy(returnPayload) : failedWith(errorMessage);
  const key = `.tairlift/runs/${runId}/summary.json`;
  if (!oss.list(BUCKET).some((object) => object.key === key))
    return status === 'Succeeded' ? { kind: 'nothing', why: 'no summary' } : failedWith(errorMessage);
  const summary = JSON.parse(String(await oss.read(BUCKET, key))) as {
    readonly status: string;
    readonly instances: readonly {
      readonly status: string;
      readonly manifest?: string;
      readonly error?: { readonly code: string; readonly message: string };
    }[];
  };
  const [instance] = summary.instances;
  const isAgreed = (summary.status === 'succeeded') === (status === 'Succeeded');
  if (!isAgreed)
    return { kind: 'nothing', why: `the summary says ${summary.status}, the function ${status}` };
  if (instance?.status === 'stored') return { kind: 'stored', manifest: instance.manifest ?? '' };
  const { code = 'no code', message = '' } = instance?.error ?? {};
  return { kind: 'failed', code, message };
}

function storedBy(payload: string): Report {
  const { status, manifest } = JSON.parse(payload) as {
    readonly status?: string;
    readonly manifest?: string;
  };
  if (status !== 'stored' || manifest === undefined)
    return { kind: 'nothing', why: `it returned ${payload}` };
  return { kind: 'stored', manifest };
}

/** `UnhandledInvocationError: {"errorMessage":"CODE: …"}`; what the platform says itself has no code of ours. */
function failedWith(errorMessage: string): Report {
  const json = errorMessage.slice(errorMessage.indexOf('{'));
  const { errorMessage: said = errorMessage } = JSON.parse(json) as { readonly errorMessage?: string };
  const code = /^([A-Z][A-Z_]+): /.exec(said)?.[1] ?? errorMessage.split(':')[0] ?? '';
  return { kind: 'failed', code, message: said };
}

/** Where something stands that would help anybody to sign a request. */
async function findSecret({ emulator, runId, folder, logs }: Place): Promise<string | undefined> {
  const { oss, accessKey } = emulator;
  const texts: [where: string, text: string][] = [['the log', logs()]];
  for (const { key } of oss.list(BUCKET))
    if (key.endsWith('.json') && (key.startsWith(folder) || key.includes(runId)))
      texts.push([key, String(await oss.read(BUCKET, key))]);
  const secrets = [
    accessKey.accessKeySecret,
    'Signature=',
    'x-oss-signature=',
    'OSSAccessKeyId=',
    'security-token=',
  ];
  return texts.find(([, text]) => secrets.some((secret) => text.includes(secret)))?.[0];
}
