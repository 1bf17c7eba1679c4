/** Does a role of another account demand the external id? */
import { checkAccount } from '../../../cli/doctor/accounts.ts';
import type { CheckStatus } from '../../../cli/doctor/check.ts';
import { BackupError } from '../../../functions/core/errors.ts';

const ACCOUNT = { roleArn: 'acs:ram::2222222222222222:role/tairlift-source', externalId: 'team-a' };

/** What is found where the role is assumed without the external id like this. */
async function foundWhere(
  without: () => Promise<void>,
): Promise<readonly (readonly [CheckStatus, string])[]> {
  const assumeRole = async ({ externalId }: { readonly externalId?: string | undefined }): Promise<void> =>
    externalId === undefined ? without() : undefined;
  const checks = await checkAccount(ACCOUNT, { assumeRole }, new AbortController().signal);
  return checks.filter(({ check }) => check === 'external id').map(({ status, says }) => [status, says]);
}

function refusing(error: BackupError): () => Promise<void> {
  return async () => {
    throw error;
  };
}

it('it does where it is refused without', async () => {
  expect(await foundWhere(refusing(new BackupError('PERMISSION_DENIED', 'assume role')))).toEqual([
    ['ok', 'is demanded by the role'],
  ]);
});

it('it does not where it can be assumed all the same', async () => {
  expect(await foundWhere(async () => undefined)).toEqual([
    ['warn', 'the role does not demand the external id: it can be assumed without'],
  ]);
});

it('nobody knows where the service fails just then', async () => {
  expect(await foundWhere(refusing(new BackupError('SERVICE_ERROR', 'assume role: no answer')))).toEqual([
    ['warn', 'it is not known whether the role demands it: assume role: no answer'],
  ]);
});
