/** What the checker has to say about a deployment. */

export interface Finding {
  /** An error keeps a deployment from beginning; a warning is for somebody to decide. */
  readonly level: 'error' | 'warning';
  /** Short and stable, for machines and tests. */
  readonly rule: Rule;
  /** Where in `s.yaml`, such as `orchestrator.triggers.0`; or a file. */
  readonly at: string;
  /** What is wrong, and what to do. */
  readonly message: string;
}

export const RULES = [
  'render',
  'schema',
  'overlay',
  'credentials',
  'parameter',
  'name',
  'region',
  'pre-deploy',
  'handler',
  'package',
  'size',
  'retries',
  'concurrency',
  'network',
  'variable',
  'cron',
  'payload',
  'plan',
  'schedule',
  'destination',
  'source-role',
  'lifecycle',
] as const;
export type Rule = (typeof RULES)[number];

/** Collects, so that a rule need not stop at the first thing it finds. */
export interface Findings {
  error(rule: Rule, at: string, message: string): void;
  warning(rule: Rule, at: string, message: string): void;
  readonly all: readonly Finding[];
}

export function createFindings(): Findings {
  const all: Finding[] = [];
  return {
    error: (rule, at, message) => void all.push({ level: 'error', rule, at, message }),
    warning: (rule, at, message) => void all.push({ level: 'warning', rule, at, message }),
    all,
  };
}
