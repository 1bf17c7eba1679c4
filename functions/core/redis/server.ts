/** How a self-managed server is reached. It travels in plans, upload requests and run state, so no secret is in it. */
import * as z from 'zod';

/** Stands where the region of a Tair instance stands, in events, results and keys. */
export const SELF_MANAGED = 'self-managed';

const DEFAULT_PORT = 6379;

const serverUrl = z
  .string()
  .superRefine((text, context) => {
    const problem = problemOf(text);
    // The text itself may hold a password: it is not repeated.
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  })
  .transform((text) => {
    const { protocol, hostname, port } = new URL(text);
    return `${protocol}//${hostname}:${port || DEFAULT_PORT}`;
  });

function problemOf(text: string): string | undefined {
  if (!URL.canParse(text)) return 'an address such as redis://host:6379, or rediss://host:6379 with TLS';
  const { protocol, username, password, hostname, pathname, search, hash } = new URL(text);
  if (protocol !== 'redis:' && protocol !== 'rediss:')
    return 'an address that begins with redis:// or rediss://';
  if (password !== '' || username !== '')
    return 'user name and password must not be in the address, because it is logged and stored: give them as username and passwordFrom (the name of an environment variable)';
  if (hostname === '') return 'an address such as redis://host:6379, or rediss://host:6379 with TLS';
  if (pathname.replace('/', '') !== '' || search !== '' || hash !== '')
    return 'an address without anything after the port: a backup holds all databases';
  return undefined;
}

/** It becomes part of keys and file names. `r-…` are ids of Tair: both may lie in one bucket. */
export const serverId = z
  .string()
  .regex(/^[a-z0-9][\w-]{1,63}$/i, 'a name of your own for it, of letters, digits, _ and -')
  .refine((id) => !/^(r|tr|tair)-/i.test(id), 'ids that begin like this are those of Tair instances');

const variableName = z.string().regex(/^[A-Za-z_]\w{0,127}$/, 'the name of an environment variable');

const certificates = z
  .string()
  .max(32 * 1024)
  .refine(
    (text) => text.includes('-----BEGIN CERTIFICATE-----'),
    'certificates as PEM text, such as "${env:REDIS_CA}"',
  )
  .refine(
    (text) => !text.includes('PRIVATE KEY-----'),
    'certificates only: there is a private key in it, and all of this is stored with the run; keyFrom names the variable that holds the key',
  );

export const serverSchema = z.strictObject({
  id: serverId,
  url: serverUrl,
  username: z.string().min(1).max(256).optional(),
  passwordFrom: variableName.optional(),
  /** `auto` asks the server. */
  cluster: z.union([z.literal('auto'), z.boolean()], { error: 'auto, true or false' }).default('auto'),
  preferReplica: z.boolean().default(true),
  /** Trusted instead of the usual ones. */
  ca: certificates.optional(),
  /** Shown to a server that asks for one. */
  cert: certificates.optional(),
  /** The environment variable with the private key of `cert`, PEM. */
  keyFrom: variableName.optional(),
  /** The command's name on the server. */
  psync: z
    .string()
    .regex(/^[\w.-]{1,64}$/, "the name of the server's PSYNC command")
    .default('PSYNC'),
});

export type RedisServer = z.infer<typeof serverSchema>;
