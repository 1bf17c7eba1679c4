/** The pages of the lists: in the order of names, a token being the last name that was shown. */
import { ServiceError } from '../../http.ts';
import type { Call } from './action.ts';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

export interface Listing {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

export function readListing({ request }: Call): Listing {
  const query = request.url.searchParams;
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new ServiceError(400, 'InvalidArgument', `limit must be between 1 and ${MAX_LIMIT}`);
  return { prefix: query.get('prefix') ?? '', after: query.get('nextToken') ?? '', limit };
}
