/** The roles that source accounts give. */
import type { Inspection } from '../../functions/core/compose.ts';
import type { Account } from '../../functions/core/config.ts';
import { attempt, bad, note, ok, type Check } from './check.ts';

export async function checkAccount(
  account: Account,
  inspection: Inspection,
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
async function checkDemand(roleArn: string, inspection: Inspection): Promise<readonly Check[]> {
  try {
    await inspection.assumeRole({ roleArn });
  } catch {
    // As it should be; any other reason not to get in would have shown with the external id too.
    return [];
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
