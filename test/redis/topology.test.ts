import { parseClusterNodes, parseInfo } from '../../functions/core/redis/topology.ts';

const INFO = [
  '# Server',
  'redis_version:7.0.15',
  'loading:0',
  'used_memory:1048576',
  '# Replication',
  'role:master',
  'connected_slaves:4',
  'slave0:ip=10.0.0.2,port=6379,state=online,offset=1400,lag=0',
  'slave1:ip=10.0.0.3,port=6380,state=online,offset=1500,lag=1',
  'slave2:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0',
  'slave3:ip=10.0.0.5,port=6379,state=online,offset=1400,lag=3000',
  'slave4:ip=10.0.0.6,port=0,state=online,offset=1500,lag=0',
  'master_replid:abc',
  '# Cluster',
  'cluster_enabled:0',
].join('\r\n');

describe('INFO', () => {
  it('tells what the server is, and which replicas are in sync, the least behind first', () => {
    expect(parseInfo(INFO, 'a')).toEqual({
      engine: 'Redis',
      version: '7.0.15',
      isCluster: false,
      role: 'primary',
      isInSync: true,
      replicationId: 'abc',
      replicas: [
        { host: '10.0.0.3', port: 6380 },
        { host: '10.0.0.2', port: 6379 },
      ],
      isLoading: false,
      usedMemoryBytes: 1_048_576,
    });
  });

  it('tells a Valkey by its own version, not by the one that it pretends for old clients', () => {
    const valkey = INFO.replace(
      'redis_version:7.0.15',
      'redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2',
    );
    expect(parseInfo(valkey, 'a')).toMatchObject({ engine: 'Valkey', version: '9.1.2' });
  });

  it.each([
    ['follows its primary', 'up', '0', true],
    ['has lost its primary', 'down', '0', false],
    ['is copying its primary', 'up', '1', false],
  ])('tells whether a replica %s', (_what, link, syncing, isInSync) => {
    const replica = INFO.replace(
      'role:master',
      `role:slave\r\nmaster_link_status:${link}\r\nmaster_sync_in_progress:${syncing}`,
    );
    expect(parseInfo(replica, 'a')).toMatchObject({ role: 'replica', isInSync });
  });

  it.each(['', 'hello', 'redis_version:7.0\r\n', 'role:master\r\n'])(
    'that says nothing of the kind is not believed: %j',
    (text) => {
      expect(() => parseInfo(text, 'a')).toThrow(expect.objectContaining({ code: 'SOURCE_INVALID' }));
    },
  );
});

const ASKED = { host: 'redis.example', port: 7001 };
const id = (digit: string): string => digit.repeat(40);
const line = (
  digit: string,
  where: string,
  flags: string,
  primary: string,
  link: string,
  slots = '',
): string => `${id(digit)} ${where} ${flags} ${primary} 0 1700000000000 1 ${link} ${slots}`.trim();
const NODES = [
  line('b', '10.0.0.2:7001@17001', 'master', '-', 'connected', '8192-16383'),
  line('a', ':7001@17001', 'myself,master', '-', 'connected', '0-4 6-8191 5'),
  line('c', '10.0.0.3:7001@17001,c.example', 'slave', id('a'), 'connected'),
  line('d', '10.0.0.4:7001@17001', 'slave', id('a'), 'disconnected'),
  line('e', '10.0.0.5:7001@17001', 'slave,fail', id('b'), 'connected'),
  line('f', '[fd00::6]:7001@17001,?', 'slave', id('b'), 'connected'),
  line('9', ':0@0', 'master,noaddr', '-', 'disconnected'),
];
const parse = (lines: readonly string[]): ReturnType<typeof parseClusterNodes> =>
  parseClusterNodes(`${lines.join('\n')}\n`, ASKED);

describe('CLUSTER NODES', () => {
  it('tells the shards in the order of their slots, with the replicas that can be reached', () => {
    expect(parse(NODES)).toEqual({
      myself: { id: id('a'), primaryId: id('a') },
      shards: [
        {
          primaryId: id('a'),
          epoch: '1',
          primary: ASKED,
          replicas: [{ host: 'c.example', port: 7001, ip: '10.0.0.3' }],
          slots: '0-4,5,6-8191',
        },
        {
          primaryId: id('b'),
          epoch: '1',
          primary: { host: '10.0.0.2', port: 7001 },
          replicas: [{ host: 'fd00::6', port: 7001 }],
          slots: '8192-16383',
        },
      ],
    });
  });

  it('tells of which primary a replica is', () => {
    const asReplica = NODES.map((text) =>
      text
        .replace('myself,master', 'master')
        .replace(' slave a', ' slave a')
        .replace(/^(c+ \S+) slave/, '$1 myself,slave'),
    );
    expect(parse(asReplica).myself).toEqual({ id: id('c'), primaryId: id('a') });
  });

  it.each([
    [
      'slots are on their way',
      (text: string) => text.replace(' 5', ` 5 [5->-${id('b')}]`),
      'slots are being moved',
    ],
    [
      'slots belong to nobody',
      (text: string) => text.replace('8192-', '8200-'),
      '8 slots belong to no primary',
    ],
    [
      'slots belong to two',
      (text: string) => text.replace('8192-', '8191-'),
      'slots belong to two primaries',
    ],
    [
      'a primary fails',
      (text: string) => text.replace('@17001 master -', '@17001 master,fail? -'),
      `the primary ${id('b')} is failing`,
    ],
  ])('tells when %s', (_what, change, unrest) => {
    expect(parse(NODES.map(change)).unrest).toBe(unrest);
  });

  it.each(['', 'hello', `${id('a')} x myself,master - 0 0 1 connected 0-99999`, NODES[0] ?? ''])(
    'that says nothing of the kind is not believed: %j',
    (text) => {
      expect(() => parse([text])).toThrow(expect.objectContaining({ code: 'SOURCE_INVALID' }));
    },
  );
});
