import type { PulledStream } from '../../functions/core/source/source.ts';
import { createServerSource } from '../../functions/core/redis/server-source.ts';
import { testPulledSource } from '../contracts/source.ts';
import { MARK, RESYNC, snapshotOf, startRedisPeer } from '../doubles/redis-peer.ts';
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

describe('A replica whose snapshot breaks off', () => {
  const { signal } = new AbortController();
  const infoOf = (lines: readonly string[]): string => {
    const text = ['redis_version:7.0.15', 'master_replid:abc', ...lines].join('\r\n');
    return `$${text.length}\r\n${text}\r\n`;
  };
  const REPLICA = ['role:slave', 'master_link_status:up', 'master_sync_in_progress:0'];

  it('is tried once more, and then the primary is', async () => {
    const broken = snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, 'REDIS');
    const whole = snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, 'REDIS', MARK);
    const replica = await startRedisPeer((words, socket) =>
      words[0] === 'INFO' ? infoOf(REPLICA) : broken(words, socket),
    );
    const known = `slave0:ip=127.0.0.1,port=${replica.port},state=online,offset=1,lag=0`;
    const primary = await startRedisPeer((words, socket) =>
      words[0] === 'INFO' ? infoOf(['role:master', known]) : whole(words, socket),
    );
    const source = createServerSource({ servers: [serverAt(primary)], secretOf: () => undefined });
    const orders = await source.getInstance('self-managed', 'orders', signal);
    const pull = orders === undefined ? undefined : await source.pull?.(orders, signal);
    const open = async (): Promise<PulledStream | undefined> => pull?.shards[0]?.open('orders.rdb', signal);

    // Closed by us, it says nothing about the server.
    const unwanted = await open();
    unwanted?.close();
    await expect(unwanted?.read(Buffer.alloc(100), signal)).rejects.toThrow('the connection ended');
    for (let time = 1; time <= 2; time++) {
      const stream = await open();
      expect(stream).toMatchObject({ role: 'replica', passedOver: [] });
      await expect(stream?.read(Buffer.alloc(100), signal)).rejects.toMatchObject({
        code: 'SOURCE_TRUNCATED',
      });
    }
    const stream = await open();

    expect(stream).toMatchObject({
      role: 'primary',
      passedOver: [expect.stringContaining('2 snapshots of it broke off') as string],
    });
    expect(await stream?.read(Buffer.alloc(100), signal)).toBe(5);
    await Promise.all([primary.close(), replica.close()]);
  });
});
