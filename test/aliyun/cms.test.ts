/** Our events, raised through the vendor's client at the emulated CloudMonitor. */
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { createCmsEvents } from '../../functions/core/aliyun/cms.ts';
import type { Credentials } from '../../functions/core/aliyun/credentials.ts';
import type { Events, OwnEvent } from '../../functions/core/events.ts';
import { functionRole } from '../doubles/function-role.ts';

const { signal } = new AbortController();
const HURRIED = { now: () => Date.now(), sleep: async () => undefined, random: () => 0 };
const EVENT: OwnEvent = {
  name: 'tairlift:run-failed',
  content: '{"plan":"nightly & co","status":"failed"}',
  atMs: Date.parse('2026-11-20T18:00:01.234Z'),
};

let emulator: Emulator;
beforeEach(async () => {
  emulator = await startEmulator();
});
afterEach(async () => emulator.stop());

const eventsFor = (credentials: Credentials = emulator.accessKey): Events =>
  createCmsEvents({
    credentials: async () => credentials,
    region: 'cn-hangzhou',
    endpoint: emulator.world.endpoints.cms,
    clock: HURRIED,
  });

it('raises an event as it is, of no application group, at its own time', async () => {
  await eventsFor().raise(EVENT, signal);

  expect(emulator.cms.events()).toEqual([
    {
      at: EVENT.atMs,
      name: EVENT.name,
      content: EVENT.content,
      groupId: '0',
      raisedBy: `acs:ram::${emulator.world.accountId}:root`,
    },
  ]);
  expect(emulator.world.journal.entries({ service: 'cms' })).toEqual([
    expect.objectContaining({ action: 'PutCustomEvent', target: 'tairlift:run-failed', status: 200 }),
  ]);
});

it('names the action that is missing, and does not ask again', async () => {
  const { identity } = emulator.world;
  const role = identity.role(functionRole(emulator.world, 'orchestrator', ['oss:*']));
  if (role === undefined) throw new Error('the role was just made');

  await expect(eventsFor(identity.issue(role, 'me', 3600)).raise(EVENT, signal)).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    hint: expect.stringContaining('cms:PutCustomEvent') as string,
  });
  expect(emulator.world.journal.entries({ service: 'cms' })).toHaveLength(1);
});

it('asks again when the service is down for a moment, and does not for ever', async () => {
  const effect = { kind: 'error', status: 503, code: 'ServiceUnavailable' } as const;
  emulator.world.faults.add({ service: 'cms', times: 2, effect });
  await eventsFor().raise(EVENT, signal);
  expect(emulator.cms.events()).toHaveLength(1);

  emulator.world.faults.add({ service: 'cms', times: -1, effect });
  await expect(eventsFor().raise(EVENT, signal)).rejects.toMatchObject({ code: 'SERVICE_ERROR' });
});

it('takes a refusal for one that comes with HTTP 200', async () => {
  const body = JSON.stringify({ Code: '403', Message: 'not yours', RequestId: 'R' });
  emulator.world.faults.add({ service: 'cms', effect: { kind: 'reply', status: 200, body } });

  await expect(eventsFor().raise(EVENT, signal)).rejects.toMatchObject({
    message: 'raise event tairlift:run-failed: 403 not yours',
  });
});

it('takes a number for the code that says that all is well', async () => {
  const body = JSON.stringify({ Code: 200, Message: 'success', RequestId: 'R' });
  emulator.world.faults.add({ service: 'cms', effect: { kind: 'reply', status: 200, body } });

  await expect(eventsFor().raise(EVENT, signal)).resolves.toBeUndefined();
});

it('ends with its signal while nothing is answered', async () => {
  emulator.world.faults.add({ service: 'cms', effect: { kind: 'stall' } });
  const asked = new AbortController();
  const raising = eventsFor().raise(EVENT, asked.signal);
  while (emulator.world.journal.entries({ service: 'cms' }).length === 0)
    await new Promise((resolve) => setImmediate(resolve));
  asked.abort(new Error('enough'));

  await expect(raising).rejects.toMatchObject({ code: 'INTERRUPTED' });
});
