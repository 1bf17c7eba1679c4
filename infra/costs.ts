/**
 * What a month of nightly runs costs, from published prices and the sizes in `s.yaml`. It errs on the dear side: nothing
 * is free of charge, every instance is kept its whole last minute, nothing overlaps by luck.
 */

/**
 * Units of metering for each second, and the list price of a unit in the first tier.
 * https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/pay-as-you-go-billing-method
 */
export const COMPUTE_PRICE = {
  unitsPerVcpu: 1,
  unitsPerGb: 0.15,
  unitsPerGbOfDisk: 0.05,
  unitsPerInvocation: 75 / 10_000,
  usdPerUnit: 0.00002,
  cnyPerUnit: 0.00011,
} as const;

/**
 * The least that a function costs in each hour of the clock in which it is at work, and how long an instance is kept,
 * and paid for, after its last request. Both since 2025-12-09.
 */
const LEAST_CNY_PER_HOUR = 0.01;
const KEPT_SECONDS = 60;

/**
 * A GB of Standard storage with copies in one zone, for a month.
 * https://www.alibabacloud.com/help/en/oss/product-overview/storage-fees
 */
const STORAGE_CNY_PER_GB = 0.12;
const STORAGE_USD_PER_GB = 0.0173;

/** Of Standard storage. Not on the pages that could be read, but told in public; it hardly matters. */
const CNY_PER_REQUEST = 0.01 / 10_000;

export interface Size {
  readonly cpu: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly timeoutSeconds: number;
}

export interface Sizes {
  readonly orchestrator: Size;
  readonly uploader: Size;
}

export interface Fleet {
  readonly instances: number;
  /** `rate.concurrency` of the plan. */
  readonly concurrency: number;
  readonly gbPerBackup: number;
  /** How long the service takes for one backup. */
  readonly backupSeconds: number;
  /** What one uploader moves. */
  readonly mbPerSecond: number;
  /** Of bucket and run state, for each instance: docs/fleet.md has counted them. */
  readonly requestsPerInstance: number;
  /** Nights whose backups are kept. */
  readonly nightsKept: number;
}

const NIGHTS_A_MONTH = 30;

export interface Costs {
  /** How long a run takes, in seconds. */
  readonly runSeconds: number;
  /** CNY a month. */
  readonly orchestrator: number;
  readonly uploader: number;
  readonly requests: number;
  readonly storage: number;
  readonly total: number;
}

/** What starts an uploader and what it does besides moving bytes. */
const UPLOADER_BASE_SECONDS = 5;

export function costsOf(fleet: Fleet, { orchestrator, uploader }: Sizes): Costs {
  const uploadSeconds = UPLOADER_BASE_SECONDS + (fleet.gbPerBackup * 1000) / fleet.mbPerSecond;
  const waves = Math.ceil(fleet.instances / fleet.concurrency);
  const runSeconds = waves * (fleet.backupSeconds + uploadSeconds);
  const hops = Math.ceil(runSeconds / orchestrator.timeoutSeconds);
  const hours = Math.ceil(runSeconds / 3600) + 1;

  const orchestrating = compute(orchestrator, runSeconds + hops * KEPT_SECONDS, hops, hours);
  const uploading = compute(
    uploader,
    fleet.instances * (uploadSeconds + KEPT_SECONDS),
    fleet.instances,
    hours,
  );
  const requests = fleet.instances * fleet.requestsPerInstance * CNY_PER_REQUEST;
  const storage = fleet.instances * fleet.gbPerBackup * fleet.nightsKept * STORAGE_CNY_PER_GB;
  const monthly = {
    orchestrator: orchestrating * NIGHTS_A_MONTH,
    uploader: uploading * NIGHTS_A_MONTH,
    requests: requests * NIGHTS_A_MONTH,
  };
  const total = monthly.orchestrator + monthly.uploader + monthly.requests + storage;
  return { runSeconds, ...monthly, storage, total };
}

/** A night's CNY: what is used, or the least for each hour of the clock that it touches. */
function compute(size: Size, seconds: number, invocations: number, hours: number): number {
  const { unitsPerVcpu, unitsPerGb, unitsPerGbOfDisk, unitsPerInvocation, cnyPerUnit } = COMPUTE_PRICE;
  const unitsPerSecond =
    size.cpu * unitsPerVcpu + (size.memoryMb / 1024) * unitsPerGb + (size.diskMb / 1024) * unitsPerGbOfDisk;
  const units = Math.ceil(seconds * unitsPerSecond + invocations * unitsPerInvocation) + hours; // rounded up each hour
  return Math.max(units * cnyPerUnit, hours * LEAST_CNY_PER_HOUR);
}

/** The published prices of the two sites, for whoever pays in the other currency. */
export const USD_SHARE = {
  compute: COMPUTE_PRICE.usdPerUnit / COMPUTE_PRICE.cnyPerUnit,
  storage: STORAGE_USD_PER_GB / STORAGE_CNY_PER_GB,
} as const;
