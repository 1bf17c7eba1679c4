import type { RetryPolicy } from '../../functions/core/transfer/retry.ts';

/** A few attempts with next to no waiting between them. */
export const QUICK: RetryPolicy = { attempts: 4, firstDelayMs: 1, maxDelayMs: 4, totalMs: 60_000 };
