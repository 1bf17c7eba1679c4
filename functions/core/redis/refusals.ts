/**
 * What a server's error means for a backup, by name and with what to do. The text of an error is the server's own and
 * may repeat what it was sent (`unknown command 'AUTH', with args beginning with: …`): of a command that carried a
 * password nothing of it is shown, of others it is cut before the arguments.
 */
import { BackupError, redact } from '../errors.ts';
import type { ErrorReply } from './connection.ts';

/** The least that an account needs in order to be pulled from; the last three tell what the server is. */
const ACCOUNT = '+psync +replconf +ping +info +cluster|nodes';

const ROUTE = 'back it up through its own service instead; see docs/self-managed.md';

interface Meaning {
  readonly test: RegExp;
  readonly code: 'PERMISSION_DENIED' | 'SOURCE_UNAVAILABLE' | 'REPLICATION_REFUSED' | 'CONFIG_INVALID';
  readonly reason: string;
  readonly hint: string;
}

const MEANINGS: readonly Meaning[] = [
  {
    test: /^NOAUTH\b|^ERR operation not permitted/i,
    code: 'PERMISSION_DENIED',
    reason: 'it asks for a password',
    hint: 'name the environment variable that holds it in `passwordFrom`',
  },
  {
    test: /^WRONGPASS\b|^ERR invalid (username-)?password/i,
    code: 'PERMISSION_DENIED',
    reason: 'it refuses the user name or the password',
    hint: 'check `username`, and the variable that `passwordFrom` names',
  },
  {
    test: /^ERR (AUTH <password> called without|Client sent AUTH, but no password)/i,
    code: 'CONFIG_INVALID',
    reason: 'it has no password, and was given one',
    hint: 'leave `passwordFrom` out, or set a password on the server',
  },
  {
    test: /^ERR wrong number of arguments for 'auth'/i,
    code: 'CONFIG_INVALID',
    reason: 'it knows no users, being older than Redis 6',
    hint: 'leave `username` out',
  },
  {
    test: /^NOPERM\b/,
    code: 'PERMISSION_DENIED',
    reason: 'the account may not do that',
    hint: `give it ACL SETUSER <user> ${ACCOUNT}; no access to keys is needed`,
  },
  {
    test: /^DENIED\b/,
    code: 'PERMISSION_DENIED',
    reason: 'it is in protected mode and takes connections from its own host only',
    hint: 'set a password on the server, then it opens to others',
  },
  {
    test: /^LOADING\b/,
    code: 'SOURCE_UNAVAILABLE',
    reason: 'it is still loading its data',
    hint: 'it can be backed up when it has loaded',
  },
  {
    test: /^(NOMASTERLINK|MASTERDOWN)\b|^ERR Can't SYNC\b/,
    code: 'SOURCE_UNAVAILABLE',
    reason: 'it is a replica that has lost its primary, and its data may be old',
    hint: 'repair the replication, or name the primary',
  },
  {
    test: /^BUSY\b/,
    code: 'SOURCE_UNAVAILABLE',
    reason: 'a script or a function keeps it busy',
    hint: 'it can be backed up when that has ended; SCRIPT KILL or FUNCTION KILL ends it',
  },
  {
    test: /^ERR max number of clients/i,
    code: 'SOURCE_UNAVAILABLE',
    reason: 'it takes no more connections',
    hint: 'raise maxclients on the server',
  },
  {
    test: /^ERR (BGSAVE failed|Unable to perform background save|.*pending output)/i,
    code: 'SOURCE_UNAVAILABLE',
    reason: 'it could not make the snapshot',
    hint: 'see its log: no memory to fork, or no room on its disk',
  },
  {
    test: /unknown command|unknown subcommand|not allowed|not supported|disabled|unsupported|forbidden/i,
    code: 'REPLICATION_REFUSED',
    reason: 'it offers no replication: managed services and proxies leave PSYNC out',
    hint: `${ROUTE}; where the command is renamed, give its name in \`psync\``,
  },
];

/**
 * @param doing verb and object: `log in`, `ask for replication`
 * @param isSecret the command carried a password
 */
export function explain(error: ErrorReply, name: string, doing: string, isSecret = false): BackupError {
  const meaning = MEANINGS.find(({ test }) => test.test(error.text));
  const shown = isSecret ? '' : textOf(error);
  const what = meaning?.reason ?? 'it refuses';
  return new BackupError(
    meaning?.code ?? 'REPLICATION_REFUSED',
    `${doing} at ${name}: ${what}${shown === '' ? '' : ` (${shown})`}`,
    {
      retryable: meaning?.code === 'SOURCE_UNAVAILABLE',
      details: { server: name },
      hint: meaning?.hint ?? ROUTE,
    },
  );
}

const SHOWN_CHARACTERS = 120;

function textOf({ text }: ErrorReply): string {
  const plain = text.replace(/,? with args beginning with.*$/is, '').replaceAll(/[^\x20-\x7e]/g, ' ');
  return redact(plain).slice(0, SHOWN_CHARACTERS).trim();
}
