/** Where things lie in the bucket. Compatible with the layout of Alibaba Cloud's public template. */

export interface BackupPlace {
  /** Empty, or ends in `/`. */
  readonly prefix: string;
  readonly instanceId: string;
  /** The run's date in the plan's time zone, `YYYY-MM-DD`. */
  readonly date: string;
  readonly runId: string;
}

export function backupFolder({ prefix, instanceId, date, runId }: BackupPlace): string {
  return `${prefix}Backup_${instanceId}/${date}/${runId}/`;
}

export function fileKey(place: BackupPlace, name: string): string {
  return backupFolder(place) + name;
}

export function manifestKey(place: BackupPlace): string {
  return `${backupFolder(place)}manifest.json`;
}

/** All backups lie below keys that start so. */
export function backupsPrefix(prefix: string, instanceId = ''): string {
  return instanceId === '' ? `${prefix}Backup_` : `${prefix}Backup_${instanceId}/`;
}

export function isManifestKey(key: string): boolean {
  return key.endsWith('/manifest.json');
}

/** State and summary of a run lie below this. */
export function runFolder(prefix: string, runId: string): string {
  return `${prefix}.tairlift/runs/${runId}/`;
}

/** What is known of a plan beyond its single runs. */
export function planFolder(prefix: string, plan: string): string {
  return `${prefix}.tairlift/plans/${plan}/`;
}

/** Of the newest of these, the run that it names holds the plan's lock. Counted from 1. */
export function lockKey(prefix: string, plan: string, number: number): string {
  return `${lockPrefix(prefix, plan)}${number}.json`;
}

export function lockPrefix(prefix: string, plan: string): string {
  return `${planFolder(prefix, plan)}lock-`;
}

/** Says that there is a run: one small object each, so that the runs of a plan are found without listing all they hold. */
export function runMarkKey(prefix: string, plan: string, runId: string): string {
  return `${runMarkPrefix(prefix, plan)}${runId}.json`;
}

export function runMarkPrefix(prefix: string, plan: string): string {
  return `${planFolder(prefix, plan)}runs/`;
}

export function summaryKey(prefix: string, runId: string): string {
  return `${runFolder(prefix, runId)}summary.json`;
}

/** One step of one instance: `backup-intended`, `backup`, `outcome-<attempt>`, … Each is written once. */
export function stepKey(
  prefix: string,
  runId: string,
  region: string,
  instanceId: string,
  step: string,
): string {
  return `${runFolder(prefix, runId)}instances/${region}/${instanceId}/${step}.json`;
}

/** `20261120T180000Z-nightly`: the start of the run, whole seconds UTC, and the plan. */
export function makeRunId(startedAtMs: number, plan: string): string {
  return `${new Date(startedAtMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${plan}`;
}

const RUN_ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([\w.-]+)$/;

/** The parts of a run id, or undefined when the text is none. */
export function parseRunId(
  runId: string,
): { readonly startedAtMs: number; readonly plan: string } | undefined {
  const match = RUN_ID.exec(runId);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, plan] = match;
  const startedAtMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(startedAtMs) || plan === undefined ? undefined : { startedAtMs, plan };
}

/** The calendar day of an instant in an IANA time zone, `YYYY-MM-DD`. */
export function dateIn(timeZone: string, atMs: number): string {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  }).formatToParts(atMs);
  const part = (type: string): string => parts.find((candidate) => candidate.type === type)?.value ?? '';
  return `${part('year')}-${part('month')}-${part('day')}`;
}
