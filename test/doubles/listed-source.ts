/** A source that lists what it is given. URLs carry a number that grows with each listing, so renewals show. */
import type { Source, SourceBackup } from '../../functions/core/source/source.ts';

export interface ListedSource extends Source {
  listings(): number;
}

/** @param list is called for each listing, counted from 1, and may throw */
export function createListedSource(list: (listing: number) => readonly SourceBackup[]): ListedSource {
  let listings = 0;
  const unasked = (): never => {
    throw new Error('the uploader asks for listings only');
  };
  return {
    listings: () => listings,
    listBackups: async () => list(++listings),
    listRegions: unasked,
    listInstances: unasked,
    getInstance: unasked,
    startBackup: unasked,
    listJobs: unasked,
  };
}
