/** The roles that source accounts give. */
import type { Inspection } from '../../functions/core/compose.ts';
import type { Account } from '../../functions/core/config.ts';
import { asBackupError, describe } from '../../functions/core/errors.ts';
import { attempt, bad, note, ok, type Check } from './check.ts';

type Roles = Pick<Inspection, 'assumeRole'>;

export async function checkAccount(
  account: Account,
  inspection: Roles,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { roleArn, externalId } = account;
  return attempt('account', roleArn, signal, async () => {
    await inspection.assumeRole(account);
    const assumed = ok('account', roleArn, 'its role can be assumed');
    if (externalId === undefined)
      return [
        assumed,
        note(
          'external id',
          roleArn,
          'the plan names none: whoever can make this account assume roles gets at those instances too',
          'set account.externalId in plans.yaml, and demand it in the trust policy of the role',
        ),
      ];
    return [assumed, ...(await checkDemand(roleArn, inspection))];
  });
}

/** A role that takes any caller's word is as open as one without an external id, and looks safer. */
async function checkDemand(roleArn: string, inspection: Roles): Promise<readonly Check[]> {
  try {
    await inspection.assumeRole({ roleArn });
  } catch (error) {
    const { code } = asBackupError(error);
    return code === 'PERMISSION_DENIED'
      ? [ok('external id', roleArn, 'is demanded by the role')]
      : [
          bad(
            'warn',
            'external id',
            roleArn,
            `it is not known whether the role demands it: ${describe(error)}`,
            'try again',
          ),
        ];
  }
  return [
    bad(
      'warn',
      'external id',
      roleArn,
      'the role does not demand the external id: it can be assumed without',
      'add the condition StringEquals sts:ExternalId to its trust policy, as infra/source-account/template.yaml has it',
    ),
  ];
}
