import { attempt, ok } from '../../../cli/doctor/check.ts';
import { BackupError } from '../../../functions/core/errors.ts';

const { signal } = new AbortController();

it('a look that takes too long is an error that says so, also when it does not listen', async () => {
  const never = new Promise<never>(() => undefined);
  expect(await attempt('bucket', 'b', signal, async () => never, 20)).toEqual([
    expect.objectContaining({
      check: 'bucket',
      subject: 'b',
      status: 'error',
      says: 'no answer within 0.02 s',
    }),
  ]);
});

it('a look that fails is an error with what to do, and one that does not is what it found', async () => {
  const error = new BackupError('PERMISSION_DENIED', 'read it: no', { hint: 'allow it' });
  expect(await attempt('a', 'b', signal, async () => Promise.reject(error))).toEqual([
    { check: 'a', subject: 'b', status: 'error', says: 'PERMISSION_DENIED: read it: no', todo: 'allow it' },
  ]);
  expect(await attempt('a', 'b', signal, async () => [ok('a', 'b', 'fine')])).toHaveLength(1);
});

it('a look ends with Ctrl-C', async () => {
  const interrupted = new AbortController();
  const look = attempt('a', 'b', interrupted.signal, async () => new Promise<never>(() => undefined));
  interrupted.abort(new Error('interrupted'));
  await expect(look).rejects.toThrow('interrupted');
});
