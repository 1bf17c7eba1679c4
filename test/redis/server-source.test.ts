import { createServerSource } from '../../functions/core/redis/server-source.ts';
import { testPulledSource } from '../contracts/source.ts';
import { QUICK } from '../doubles/policies.ts';
import { openServers, serverAt, until } from './servers.ts';

testPulledSource('Servers of one’s own', async () => {
  const servers = await openServers();
  const orders = await servers.start();
  const [first, second] = await servers.startCluster(2);
  if (first === undefined || second === undefined) throw new Error('no nodes');
  const source = createServerSource({
    servers: [serverAt(orders), serverAt(first, { id: 'sessions' })],
    secretOf: () => undefined,
  });
  return {
    source,
    region: 'self-managed',
    instances: [{ id: 'orders' }, { id: 'sessions', architecture: 'cluster', shards: 2 }],
    now: () => Date.now(),
    disturb: async () => {
      const to = String(await second.client.call('CLUSTER', 'MYID'));
      for (const node of [second, first]) await node.client.call('CLUSTER', 'SETSLOT', 7, 'NODE', to);
      await until(async () => String(await first.client.call('CLUSTER', 'NODES')).includes(' 7 8192-'));
    },
    close: async () => servers.stop(),
  };
});

it('A server that cannot be reached is an error, never an empty list', async () => {
  const servers = await openServers();
  const gone = await servers.start();
  const server = serverAt(gone);
  await servers.stop();
  const source = createServerSource({ servers: [server], secretOf: () => undefined, policy: QUICK });
  const { signal } = new AbortController();

  const list = async (): Promise<void> => {
    for await (const _instance of source.listInstances({ region: 'self-managed' }, signal))
      throw new Error('there is one');
  };

  await expect(list()).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE', retryable: true });
  await expect(source.getInstance('self-managed', 'orders', signal)).rejects.toMatchObject({
    code: 'SOURCE_UNAVAILABLE',
    message: expect.stringContaining(`127.0.0.1:${gone.port}`) as string,
  });
});
