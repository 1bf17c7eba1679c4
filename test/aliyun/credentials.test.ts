import { assumedRole, type Credentials } from '../../functions/core/aliyun/credentials.ts';
import { BackupError } from '../../functions/core/errors.ts';

const MINUTE = 60_000;
const OWN: Credentials = { accessKeyId: 'own', accessKeySecret: 'secret' };

describe('the session of an assumed role', () => {
  let now: number;
  let asked: number;
  let trouble: BackupError | undefined;
  const clock = { now: () => now };

  beforeEach(() => {
    now = Date.parse('2026-11-20T18:00:00Z');
    asked = 0;
    trouble = undefined;
  });

  const role = () =>
    assumedRole(
      async () => OWN,
      async (own) => {
        expect(own).toBe(OWN);
        const number = ++asked;
        await new Promise((resolve) => setImmediate(resolve));
        if (trouble !== undefined) throw trouble;
        return { accessKeyId: `session-${number}`, accessKeySecret: 'secret', securityToken: 'token' };
      },
      clock,
    );
  const idOf = async (credentials: Promise<Credentials>): Promise<string> => (await credentials).accessKeyId;

  it('is asked for once, for all who wait, and kept', async () => {
    const credentials = role();

    const waiting = await Promise.all(Array.from({ length: 50 }, async () => idOf(credentials())));

    expect(new Set(waiting)).toEqual(new Set(['session-1']));
    now += 44 * MINUTE;
    expect(await idOf(credentials())).toBe('session-1');
    expect(asked).toBe(1);
  });

  it('is renewed a quarter of an hour before it ends, once for all who wait', async () => {
    const credentials = role();
    await credentials();
    now += 46 * MINUTE;

    const waiting = await Promise.all(Array.from({ length: 50 }, async () => idOf(credentials())));

    expect(new Set(waiting)).toEqual(new Set(['session-2']));
    expect(asked).toBe(2);
  });

  it('goes on while it holds when it cannot be renewed, and is not asked for at every call', async () => {
    const credentials = role();
    await credentials();
    now += 46 * MINUTE;
    trouble = new BackupError('SERVICE_ERROR', 'assume role: 503', { retryable: true });

    for (let call = 0; call < 20; call++) expect(await idOf(credentials())).toBe('session-1');
    expect(asked).toBe(2);
    now += 2 * MINUTE;
    trouble = undefined;
    expect(await idOf(credentials())).toBe('session-3');
  });

  it('is never given when it has ended: its error is, as it is', async () => {
    const credentials = role();
    await credentials();
    now += 60 * MINUTE;
    trouble = new BackupError('PERMISSION_DENIED', 'assume role: NoPermission');

    await expect(credentials()).rejects.toBe(trouble);
    trouble = undefined;
    expect(await idOf(credentials())).toBe('session-3');
  });

  it('is renewed at once when a service refuses it, and once for all whom it was refused', async () => {
    const credentials = role();
    const refused = await credentials();

    const renewed = await Promise.all(Array.from({ length: 50 }, async () => idOf(credentials(refused))));

    expect(new Set(renewed)).toEqual(new Set(['session-2']));
    // One who comes late with the old one gets the new one.
    expect(await idOf(credentials(refused))).toBe('session-2');
    expect(asked).toBe(2);
  });
});
