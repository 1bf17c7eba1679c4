import type { UrlSupply } from '../../functions/core/transfer/byte-source.ts';

/** A URL for which there is no other. */
export function fixedUrl(url: string): UrlSupply {
  return { current: () => url, renew: async () => url };
}
