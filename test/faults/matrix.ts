/** All faults, and a run over them. */
import pLimit from 'p-limit';
import type { Fault } from './fault.ts';
import type { Kit } from './kit.ts';
import { clockFaults } from './legs/clock.ts';
import { controlFaults } from './legs/control.ts';
import { credentialsFaults } from './legs/credentials.ts';
import { downloadFaults } from './legs/download.ts';
import { duplicateFaults } from './legs/duplicates.ts';
import { processFaults } from './legs/process.ts';
import { resumeFaults } from './legs/resume.ts';
import { sourceFaults } from './legs/source.ts';
import { uploadFaults } from './legs/upload.ts';
import { runCase, type CaseResult } from './run-case.ts';
import { openSite, type Site } from './site.ts';

export const FAULTS: readonly Fault[] = [
  ...downloadFaults,
  ...uploadFaults,
  ...controlFaults,
  ...sourceFaults,
  ...credentialsFaults,
  ...processFaults,
  ...resumeFaults,
  ...clockFaults,
  ...duplicateFaults,
];

export interface RunOptions {
  readonly faults: readonly Fault[];
  readonly seeds: readonly number[];
  /** Most of a case is waiting: more of them than there are processors. */
  readonly concurrency: number;
  readonly onResult?: (result: CaseResult) => void;
}

/** Every fault with every seed, in the order of the faults. */
export async function runMatrix(
  { faults, seeds, concurrency, onResult }: RunOptions,
  kit: Kit,
): Promise<readonly CaseResult[]> {
  const limit = pLimit(concurrency);
  const idle: Site[] = [];

  /** Cases follow each other at a site, unless its functions are out of the ordinary or one of them is still at work. */
  async function runOne(fault: Fault, seed: number): Promise<CaseResult> {
    const isUsual = fault.setting === undefined;
    const site = (isUsual ? idle.pop() : undefined) ?? (await openSite(kit, fault.setting));
    try {
      const result = await runCase(fault, seed, site, kit.files);
      onResult?.(result);
      if (isUsual && result.verdict.kind !== 'false') idle.push(site);
      return result;
    } finally {
      if (!idle.includes(site)) await site.close();
    }
  }

  try {
    return await Promise.all(
      faults.flatMap((fault) => seeds.map(async (seed) => limit(async () => runOne(fault, seed)))),
    );
  } finally {
    limit.clearQueue();
    await Promise.all(idle.map(async (site) => site.close()));
  }
}
