/** The bucket: is it the one that plans mean, and does it keep what it is given? `infra/` makes one that passes. */
import type { Inspection } from '../../functions/core/compose.ts';
import type { Destination, Plan } from '../../functions/core/config.ts';
import { oldestKeptDays } from '../../functions/core/lifecycle.ts';
import {
  archivesAfterDays,
  endsUploadsAfterDays,
  expiresAfterDays,
  type BucketRule,
  type BucketSettings,
} from '../../functions/core/repository/bucket-settings.ts';
import { backupsPrefix } from '../../functions/core/repository/keys.ts';
import { attempt, bad, failed, note, ok, type Check } from './check.ts';
import { judge, parsePolicy } from './policies.ts';

/** @param known gets what was found, for the checks that need it too */
export async function checkBucket(
  destination: Destination,
  plans: readonly Plan[],
  inspection: Inspection,
  known: (settings: BucketSettings) => void,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { bucket, region, prefix } = destination;
  const subject = `oss://${bucket}/${prefix}`;
  return attempt('bucket', subject, signal, async (limited) => {
    const settings = await inspection.bucketSettings(destination, limited);
    known(settings);
    const { region: found, versioning, rules, denied } = settings;
    const backups = backupsPrefix(prefix);
    return [
      ...(found === undefined ? [] : [checkRegion(subject, found, region)]),
      ...(versioning === undefined ? [] : [checkVersioning(subject, versioning)]),
      ...(rules === undefined ? [] : checkRules(subject, backups, rules, plans)),
      ...checkAccess(subject, destination, settings),
      ...checkWriteOnce(subject, backups, settings),
      // A run does not need to know it; whoever looks before the first run does.
      ...denied.map((error): Check => failed('bucket', subject, error, 'warn')),
    ];
  });
}

function checkRegion(subject: string, found: string, region: string): Check {
  if (found === region) return ok('bucket', subject, `can be reached, in ${region}`);
  return bad(
    'error',
    'bucket',
    subject,
    `is in ${found}, the plan says ${region}`,
    `set destination.region to ${found}`,
  );
}

function checkVersioning(subject: string, versioning: string): Check {
  if (versioning === 'Disabled')
    return ok('versioning', subject, 'is off: what is stored cannot be replaced');
  return bad(
    'error',
    'versioning',
    subject,
    `is ${versioning.toLowerCase()}: OSS then ignores that a write must not replace anything`,
    'take a bucket without versioning; a retention policy (WORM) protects backups better, and versioning can only be suspended, which does not help',
  );
}

function checkRules(
  subject: string,
  prefix: string,
  rules: readonly BucketRule[],
  plans: readonly Plan[],
): readonly Check[] {
  const days = endsUploadsAfterDays(rules, prefix);
  const expiry = expiresAfterDays(rules, prefix);
  const archive = archivesAfterDays(rules, prefix);
  const checks: Check[] = [
    days === undefined
      ? bad(
          'warn',
          'lifecycle',
          subject,
          'no rule ends unfinished multipart uploads: what a killed upload leaves is paid for until somebody finds it',
          `add a lifecycle rule for ${prefix} with AbortMultipartUpload after 3 days`,
        )
      : ok('lifecycle', subject, `unfinished uploads are ended after ${days} d`),
  ];
  if (expiry !== undefined) checks.push(checkExpiry(subject, prefix, expiry, plans));
  if (archive !== undefined)
    checks.push(
      note(
        'lifecycle',
        subject,
        `backups older than ${archive} d are in an archive class: \`list\`, \`verify\` and a restore read nothing of them, manifests included, before they are thawed`,
        'thaw what is needed with `ossutil restore`, hours ahead; or set ArchiveAfterDays and ColdArchiveAfterDays of the deployment to 0',
      ),
    );
  return checks;
}

/** A rule of last resort is years away; a year is what monthly backups are usually kept for. */
const LAST_RESORT_DAYS = 3650;

function checkExpiry(subject: string, prefix: string, expiry: number, plans: readonly Plan[]): Check {
  // As if each plan ran daily: when it runs is known where it is deployed from, and looked at there.
  const kept = Math.max(0, ...plans.map(({ retention = {} }) => oldestKeptDays(retention)));
  if (expiry >= Math.max(LAST_RESORT_DAYS, kept + 1))
    return ok('lifecycle', subject, `backups are deleted after ${expiry} d, as a last resort`);
  const isTooEarly = kept >= expiry;
  return bad(
    isTooEarly ? 'error' : 'warn',
    'lifecycle',
    subject,
    isTooEarly
      ? `a rule deletes backups after ${expiry} d, and a plan keeps some for ${kept} d`
      : `a rule deletes backups after ${expiry} d, by age alone: also the last good one, and files before their manifest`,
    `take the expiration out of the rule that covers ${prefix}, or make it ${Math.max(LAST_RESORT_DAYS, kept + 1)} d`,
  );
}

function checkAccess(
  subject: string,
  { bucket, region }: Destination,
  { encryption, blocksPublicAccess, policy }: BucketSettings,
): readonly Check[] {
  const checks: Check[] = [];
  if (encryption !== undefined)
    checks.push(
      encryption.algorithm === 'none'
        ? bad(
            'warn',
            'encryption',
            subject,
            'what is written is not encrypted at rest',
            'switch on server-side encryption of the bucket: AES256 costs nothing, KMS takes a key of yours',
          )
        : ok(
            'encryption',
            subject,
            encryption.key === undefined
              ? encryption.algorithm
              : `${encryption.algorithm} with key ${encryption.key}`,
          ),
    );
  if (blocksPublicAccess !== undefined)
    checks.push(
      blocksPublicAccess
        ? ok('public access', subject, 'is blocked')
        : bad(
            'warn',
            'public access',
            subject,
            'is not blocked: a mistake in an access list or a policy would publish every backup',
            'switch on Block Public Access of the bucket',
          ),
    );
  if (policy !== undefined) checks.push(checkTransport(subject, bucket, region, policy));
  return checks;
}

function checkTransport(subject: string, bucket: string, region: string, document: string): Check {
  const plain = {
    action: 'oss:GetObject',
    resource: `acs:oss:${region}:*:${bucket}/*`,
    context: { 'acs:SecureTransport': 'false' },
  };
  try {
    const policies = document === '' ? [] : [parsePolicy('of the bucket', document)];
    if (judge(policies, plain).kind === 'denied')
      return ok('transport', subject, 'the bucket is reached over TLS only');
  } catch {
    return note('transport', subject, 'the policy of the bucket cannot be read from here');
  }
  return bad(
    'warn',
    'transport',
    subject,
    'the bucket takes requests without TLS too',
    'add a statement to its policy that denies oss:* when acs:SecureTransport is false, as infra/template.json has it',
  );
}

function checkWriteOnce(
  subject: string,
  backups: string,
  { writeOncePrefixes }: BucketSettings,
): readonly Check[] {
  if (writeOncePrefixes === undefined) return [];
  return [
    writeOncePrefixes.some((prefix) => backups.startsWith(prefix))
      ? ok('write-once', subject, `nobody can replace what is below ${backups}`)
      : bad(
          'warn',
          'write-once',
          subject,
          `whoever may write can replace what is below ${backups}: tairlift asks OSS not to, others need not`,
          'forbid overwriting under that prefix (PutBucketOverwriteConfig), as infra/template.json has it',
        ),
  ];
}
