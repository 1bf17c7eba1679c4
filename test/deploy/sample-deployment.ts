/** The repository's own deployment, rendered once by the real CLI, for tests to break at one place each. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkDeployment, type Surroundings } from '../../infra/check/check-deployment.ts';
import type { Finding } from '../../infra/check/finding.ts';
import { render } from '../../infra/check/render.ts';
import type { Rendered } from '../../infra/check/rendered.ts';
import { parseTemplate } from '../../infra/check/template-facts.ts';

export const ROOT = join(__dirname, '..', '..');

const ACCOUNT = '1234567890123456';
export const SAMPLE_VARIABLES = {
  AccountID: ACCOUNT,
  AccessKeyID: 'sample-key-id',
  AccessKeySecret: 'sample-key-secret',
  TAIRLIFT_BUCKET: 'sample-backups',
  TAIRLIFT_CONTACT_GROUP: 'on-call',
};

type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;
/** As parsed, and free to be changed. */
export type Sample = Mutable<Rendered>;

export async function renderSample(environment = 'prod'): Promise<Sample> {
  return (await render({ root: ROOT, environment, variables: SAMPLE_VARIABLES })) as Sample; // the checker's first rule
}

/** What there is besides `s.yaml`; the functions are built. */
export function sampleSurroundings(changes: Partial<Surroundings> = {}): Surroundings {
  const plans = readFileSync(join(ROOT, 'plans.yaml'), 'utf8');
  return {
    template: parseTemplate(readFileSync(join(ROOT, 'infra', 'template.json'), 'utf8')),
    plans,
    packages: () => ({
      files: { 'index.js': 1_000_000, 'plans.yaml': 300 },
      exported: ['handler'],
      plans: changes.plans ?? plans,
    }),
    accountId: ACCOUNT,
    now: new Date('2026-11-20T00:00:00Z'),
    ...changes,
  };
}

/** `error orchestrator.cpu` for each finding. */
export function checkSample(sample: unknown, changes: Partial<Surroundings> = {}): readonly Finding[] {
  return checkDeployment(sample, sampleSurroundings(changes));
}
