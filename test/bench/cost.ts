/**
 * What it would cost to move a terabyte in Function Compute. The platform meters what an instance is given, for as
 * long as it works, not what it uses; so an instance is assumed that is just large enough for what was measured.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/pay-as-you-go-billing-method
 * Not in it: requests to OSS, storage, the minimum for each hour in which a function runs, the minute for which an
 * instance is kept, and rebates.
 */
import { COMPUTE_PRICE as PRICE } from '../../infra/costs.ts';

export interface Instance {
  readonly vcpu: number;
  /** GB of memory. */
  readonly memoryGb: number;
}

export interface Needed {
  /** Cores that are busy on average. */
  readonly busyCores: number;
  readonly peakRssMb: number;
}

const VCPU_STEP = 0.05;
const MEMORY_STEP_GB = 64 / 1024;
/** An instance that its work just fits into would be killed by the first surprise. */
const MEMORY_RESERVE = 1.25;

/** The smallest instance that the platform offers: vCPU in steps of 0.05, 1 to 4 GB of memory for each. */
export function instanceFor({ busyCores, peakRssMb }: Needed): Instance {
  const wantedGb = roundUp((peakRssMb / 1024) * MEMORY_RESERVE, MEMORY_STEP_GB);
  const vcpu = roundUp(Math.max(busyCores, wantedGb / 4, VCPU_STEP), VCPU_STEP);
  return { vcpu, memoryGb: Math.max(wantedGb, roundUp(vcpu, MEMORY_STEP_GB)) };
}

export function usdPerTb({ vcpu, memoryGb }: Instance, bytesPerSecond: number): number {
  const seconds = 1e12 / bytesPerSecond;
  return seconds * (vcpu * PRICE.unitsPerVcpu + memoryGb * PRICE.unitsPerGb) * PRICE.usdPerUnit;
}

/** Sums such as 0.1 + 0.2 must not need a step more. */
function roundUp(value: number, step: number): number {
  return Math.ceil(value / step - 1e-9) * step;
}
