import {
  notActedOn,
  planNamed,
  readEnvironment,
  readPlans,
  toleratedErrors,
  type Plan,
} from '../../functions/core/config.ts';

const variables = { TAIRLIFT_BUCKET: 'my-backups', TAIRLIFT_OSS_REGION: 'oss-cn-hangzhou' };
const environment = readEnvironment(variables);

function plansOf(text: string, env: Record<string, string> = variables): ReadonlyMap<string, Plan> {
  return readPlans(text, 'plans.yaml', readEnvironment(env), env);
}

function problemOf(text: string, env: Record<string, string> = variables): string {
  try {
    plansOf(text, env);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the plans were accepted');
}

const MINIMAL = 'plans:\n  nightly:\n    targets: [{ region: cn-hangzhou }]\n';

describe('plans.yaml', () => {
  it('needs only targets, and takes the destination from the environment', () => {
    expect(planNamed(plansOf(MINIMAL), 'nightly')).toMatchObject({
      name: 'nightly',
      targets: [{ region: ['cn-hangzhou'] }],
      backup: { adoptWithinHours: 0, timeoutMinutes: 360 },
      rate: { concurrency: 10, overlap: 'wait' },
      destination: { region: 'cn-hangzhou', bucket: 'my-backups', prefix: '' },
      timeZone: 'UTC',
    });
  });

  it('accepts the whole example of the design', () => {
    const text = `
plans:
  nightly:
    targets:
      - { region: cn-hangzhou, tags: { backup: nightly } }
      - { region: cn-shanghai, instances: [r-uf6aaaa, r-uf6bbbb] }
      - { region: ap-southeast-1, name: "prod-*", account: { roleArn: "acs:ram::2222:role/tairlift-source", externalId: team-a } }
    backup: { adoptWithinHours: 6, timeoutMinutes: 360 }
    rate: { concurrency: 10, maxErrors: "10%" }
    destination: { region: cn-hangzhou, bucket: other-backups, prefix: "tair/" }
    retention: { last: 7, daily: 14, weekly: 8, monthly: 12, yearly: 3 }
    objective: { rpoHours: 26 }
    timeZone: Asia/Shanghai
    notify: [ { dingtalk: "\${env:DINGTALK_WEBHOOK}" } ]
`;
    const plan = planNamed(
      plansOf(text, { ...variables, DINGTALK_WEBHOOK: 'https://example.test/hook' }),
      'nightly',
    );
    expect(plan.destination).toEqual({ region: 'cn-hangzhou', bucket: 'other-backups', prefix: 'tair/' });
    expect(plan.rate.maxErrors).toEqual({ kind: 'share', share: 0.1 });
    expect(notActedOn(plan)).toEqual(['retention', 'objective', 'notify']);
    expect(plan.notify).toEqual([{ dingtalk: 'https://example.test/hook' }]);
  });

  it('knows when backups may be started, and what becomes of a second run', () => {
    const plan = planNamed(
      plansOf(`${MINIMAL}    backup: { window: "22:30-05:00" }
    rate: { startsPerMinute: 0.5, overlap: skip }
`),
      'nightly',
    );
    expect(plan.backup.window).toEqual({ from: 22 * 60 + 30, to: 5 * 60 });
    expect(plan.rate).toMatchObject({ startsPerMinute: 0.5, overlap: 'skip' });
  });

  it.each([
    ['backup: { window: "25:00-05:00" }', 'backup.window: two times of the day such as "01:00-05:00"'],
    ['backup: { windows: "01:00-05:00" }', 'backup.windows: unknown key; did you mean "window"?'],
    ['rate: { startsPerMinute: 0 }', 'rate.startsPerMinute'],
    ['rate: { overlap: queue }', 'rate.overlap: "wait" or "skip"'],
  ])('does not take %s', (text, message) => {
    expect(problemOf(`${MINIMAL}    ${text}\n`)).toContain(message);
  });

  it('reports every problem at once, with line, path and suggestion', () => {
    const problem = problemOf(`plans:
  nightly:
    targets:
      - { regoin: cn-hangzhou }
    rate: { concurency: 3, maxErrors: lots }
    timeZone: Mars/Base
`);
    expect(problem).toContain('line 4: plans.nightly.targets.0.regoin: unknown key; did you mean "region"?');
    expect(problem).toContain('plans.nightly.targets.0: region is missing');
    expect(problem).toContain('plans.nightly.rate.concurency: unknown key; did you mean "concurrency"?');
    expect(problem).toContain(
      'plans.nightly.rate.maxErrors: a whole number of instances, or a percentage such as "10%"',
    );
    expect(problem).toContain('plans.nightly.timeZone: an IANA time zone');
  });

  it.each([
    ['nothing', '', 'the file'],
    ['no plan', 'plans: {}', 'at least one plan'],
    ['not YAML', 'plans: [', 'read plans.yaml'],
    ['the same key twice', `${MINIMAL}  nightly:\n    targets: [{ region: cn-hangzhou }]\n`, 'unique'],
    [
      'a plan name with a slash',
      'plans:\n  a/b:\n    targets: [{ region: cn-hangzhou }]\n',
      'a plan name of letters',
    ],
    [
      'a plan name that would be another folder',
      'plans:\n  ..:\n    targets: [{ region: cn-hangzhou }]\n',
      'a plan name of letters',
    ],
    ['no targets', 'plans:\n  a:\n    targets: []\n', 'at least one target'],
    [
      'ids together with tags',
      'plans:\n  a:\n    targets: [{ region: cn-hangzhou, instances: [r-1], tags: { a: b } }]\n',
      'either instances',
    ],
    ['a share over 100 %', `${MINIMAL}    rate: { maxErrors: "150%" }\n`, 'maxErrors'],
    [
      'a prefix with a leading slash',
      `${MINIMAL}    destination: { prefix: /a }\n`,
      'must not start with a slash',
    ],
    ['two channels in one entry', `${MINIMAL}    notify: [{ dingtalk: a, feishu: b }]\n`, 'one channel'],
  ])('refuses %s', (_name, text, expected) => {
    expect(problemOf(text)).toContain(expected);
  });

  it('takes one of a thing with and without brackets, all regions as "*", and exclusions at both places', () => {
    const text = `
plans:
  nightly:
    targets:
      - { region: "*", name: prod-*, exclude: { tags: { backup: never } } }
      - { region: [cn-hangzhou, cn-shanghai, cn-hangzhou], engineVersions: ["6.0", "7"], resourceGroup: rg-1, optional: true }
    exclude: [{ instances: r-a1 }, { name: [cache-*, tmp-*], engineVersions: "4.0" }]
`;
    const plan = planNamed(plansOf(text), 'nightly');

    expect(plan.targets).toEqual([
      { region: '*', name: ['prod-*'], exclude: [{ tags: { backup: 'never' } }] },
      {
        region: ['cn-hangzhou', 'cn-shanghai'],
        engineVersions: ['6.0', '7'],
        resourceGroup: 'rg-1',
        optional: true,
      },
    ]);
    expect(plan.exclude).toEqual([
      { instances: ['r-a1'] },
      { name: ['cache-*', 'tmp-*'], engineVersions: ['4.0'] },
    ]);
  });

  it.each([
    ['a region that is none', '{ region: hangzhou }', 'line 4: plans.a.targets.0.region: a region id'],
    ['"*" beside regions', '{ region: ["*", cn-hangzhou] }', 'or "*" alone for all regions'],
    ['no region in the list', '{ region: [] }', 'at least one region'],
    ['no region at all', '{ name: x }', 'region is missing'],
    ['a version without quotes', '{ region: "*", engineVersions: [7.0] }', 'in quotes, such as "7.0"'],
    ['no tags in tags', '{ region: "*", tags: {} }', 'at least one tag'],
    ['a tag without a value', '{ region: "*", tags: { backup: } }', '"" for a tag without a value'],
    ['an exclusion of nothing', '{ region: "*", exclude: {} }', 'at least one thing to leave out'],
    [
      'an exclusion of a region',
      '{ region: "*", exclude: { region: cn-hangzhou } }',
      'targets.0.exclude.region: unknown key',
    ],
    [
      'ids together with a version',
      '{ region: "*", instances: [r-1], engineVersions: "7" }',
      'either instances',
    ],
    [
      'an option that is no yes or no',
      '{ region: "*", optional: maybe }',
      'targets.0.optional: Invalid input: expected boolean',
    ],
  ])('refuses a target with %s', (_name, target, expected) => {
    expect(problemOf(`plans:\n  a:\n    targets:\n      - ${target}\n`)).toContain(expected);
  });

  it("takes servers of one's own as targets", () => {
    const text = `
plans:
  nightly:
    targets:
      - { redis: "redis://10.0.0.1", id: orders }
      - { redis: "rediss://cache.example:7000", id: cache, username: backup, passwordFrom: CACHE_PASSWORD, cluster: true, preferReplica: false, psync: xPSYNC, optional: true }
      - { region: cn-hangzhou }
`;
    const plan = planNamed(plansOf(text, { ...variables, CACHE_PASSWORD: 'hush' }), 'nightly');

    expect(plan.targets).toEqual([
      {
        region: ['self-managed'],
        instances: ['orders'],
        server: {
          id: 'orders',
          url: 'redis://10.0.0.1:6379',
          cluster: 'auto',
          preferReplica: true,
          psync: 'PSYNC',
        },
      },
      {
        region: ['self-managed'],
        instances: ['cache'],
        server: {
          id: 'cache',
          url: 'rediss://cache.example:7000',
          username: 'backup',
          passwordFrom: 'CACHE_PASSWORD',
          cluster: true,
          preferReplica: false,
          psync: 'xPSYNC',
        },
        optional: true,
      },
      { region: ['cn-hangzhou'] },
    ]);
    expect(JSON.stringify(plan)).not.toContain('hush');
  });

  it.each([
    [
      'a password in its address',
      '{ redis: "redis://:hush@host", id: a1 }',
      'line 4: plans.a.targets.0.redis: user name and password must not be in the address',
    ],
    [
      'a user in its address',
      '{ redis: "redis://me@host", id: a1 }',
      'give them as username and passwordFrom',
    ],
    ['a database in its address', '{ redis: "redis://host/3", id: a1 }', 'a backup holds all databases'],
    ['an address of another kind', '{ redis: "http://host", id: a1 }', 'begins with redis:// or rediss://'],
    ['no address', '{ redis: "host:6379 ", id: a1 }', 'redis://'],
    ['no id', '{ redis: "redis://host" }', 'plans.a.targets.0: id is missing'],
    ['the id of a Tair instance', '{ redis: "redis://host", id: r-bp1abc }', 'those of Tair instances'],
    [
      'a region',
      '{ redis: "redis://host", id: a1, region: cn-hangzhou }',
      'plans.a.targets.0.region: unknown key',
    ],
    [
      'a password',
      '{ redis: "redis://host", id: a1, password: hush }',
      'password: unknown key; did you mean "passwordFrom"?',
    ],
    [
      'a user without a password',
      '{ redis: "redis://host", id: a1, username: me }',
      'a username needs passwordFrom',
    ],
    [
      'a variable that is not set',
      '{ redis: "redis://host", id: a1, passwordFrom: NOT_SET }',
      'plans.a.targets.0.passwordFrom: the variable NOT_SET is not set',
    ],
    [
      'a name that is no variable',
      '{ redis: "redis://host", id: a1, passwordFrom: "hush!" }',
      'the name of an environment variable',
    ],
    ['a cluster of neither kind', '{ redis: "redis://host", id: a1, cluster: maybe }', 'auto, true or false'],
    [
      'certificates that are none',
      '{ redis: "redis://host", id: a1, ca: /etc/ca.pem }',
      'certificates as PEM text',
    ],
    [
      'a key where certificates are',
      '{ redis: "rediss://host", id: a1, cert: "-----BEGIN CERTIFICATE-----\\n-----BEGIN PRIVATE KEY-----\\nhush", keyFrom: KEY }',
      'plans.a.targets.0.cert: certificates only',
    ],
    [
      'a certificate without its key',
      '{ redis: "rediss://host", id: a1, cert: "-----BEGIN CERTIFICATE-----" }',
      'cert and keyFrom',
    ],
    [
      'the same id twice',
      '{ redis: "redis://host", id: a1 }\n      - { redis: "redis://other", id: a1 }',
      'two servers are called a1',
    ],
  ])('refuses a server with %s', (_name, target, expected) => {
    const problem = problemOf(`plans:\n  a:\n    targets:\n      - ${target}\n`);
    expect(problem).toContain(expected);
    expect(problem).not.toContain('hush');
  });

  it('names a variable that a plan refers to and that is not set', () => {
    expect(problemOf(`${MINIMAL}    notify: [{ dingtalk: "\${env:HOOK}" }]\n`)).toContain(
      'plans.nightly.notify.0.dingtalk: the variable HOOK is not set',
    );
  });

  it('names both places where a missing bucket can be set', () => {
    expect(problemOf(MINIMAL, {})).toMatch(
      /destination\.region: missing.*TAIRLIFT_OSS_REGION.*destination\.bucket: missing.*TAIRLIFT_BUCKET/,
    );
  });

  it('knows a plan by its exact name only, and suggests the near one', () => {
    expect(() => planNamed(plansOf(MINIMAL), 'nighly')).toThrow(
      'find plan "nighly": no such plan; did you mean "nightly"?',
    );
  });
});

describe('the environment', () => {
  it('strips the slash and the oss- that people write', () => {
    expect(environment.destination).toEqual({ region: 'cn-hangzhou', bucket: 'my-backups' });
    expect(readEnvironment({ TAIRLIFT_ENDPOINT_OSS: 'http://127.0.0.1:9000/' }).endpoints.oss).toBe(
      'http://127.0.0.1:9000',
    );
  });

  it('names every wrong address at once', () => {
    const wrong = { TAIRLIFT_ENDPOINT_OSS: 'localhost:1', TAIRLIFT_ENDPOINT_FC: 'ftp://a' };
    expect(() => readEnvironment(wrong)).toThrow(/TAIRLIFT_ENDPOINT_OSS.*TAIRLIFT_ENDPOINT_FC/);
  });
});

it('refuses an address of STS that is not https', () => {
  expect(() => readEnvironment({ TAIRLIFT_ENDPOINT_STS: 'http://127.0.0.1:9000' })).toThrow(
    'TAIRLIFT_ENDPOINT_STS: an https address',
  );
});

describe('rate.bandwidth', () => {
  it.each([
    ['200MB/s', 200e6],
    ['1.5 GB/s', 1.5e9],
    ['800kB/s', 800e3],
  ])('reads %s', (text, bytesPerSecond) => {
    const plans = plansOf(`${MINIMAL}    rate: { bandwidth: "${text}" }\n`);

    expect([...plans.values()][0]?.rate.bandwidth).toBe(bytesPerSecond);
  });

  it.each(['200', '200Mb/s', '0MB/s', '-1MB/s', '1kB/s', 'fast'])('refuses %s', (text) => {
    expect(() => plansOf(`${MINIMAL}    rate: { bandwidth: "${text}" }\n`)).toThrow(
      'plans.nightly.rate.bandwidth',
    );
  });
});

describe('a variable that is "-"', () => {
  it('is as if it were not set: a deployment sets them all', () => {
    const names = [
      'BUCKET',
      'OSS_REGION',
      'PREFIX',
      'UPLOADER',
      'DOWNLOADS',
      'ENDPOINT_TAIR',
      'ENDPOINT_CMS',
    ];
    const dashes = Object.fromEntries(names.map((name) => [`TAIRLIFT_${name}`, '-']));

    expect(readEnvironment(dashes)).toEqual(readEnvironment({}));
  });
});

describe('TAIRLIFT_DOWNLOADS', () => {
  it('chooses between the addresses of a backup, and is checked', () => {
    const downloads = (value?: string): string => readEnvironment({ TAIRLIFT_DOWNLOADS: value }).downloads;

    expect([downloads(), downloads(''), downloads('internal')]).toEqual(['public', 'public', 'internal']);
    expect(() => downloads('intranet')).toThrow('TAIRLIFT_DOWNLOADS: public or internal, not "intranet"');
  });
});

describe('TAIRLIFT_HTTP', () => {
  it('chooses how bytes are carried, and is checked', () => {
    expect([readEnvironment({}).http, readEnvironment({ TAIRLIFT_HTTP: 'node' }).http]).toEqual([
      'lean',
      'node',
    ]);
    expect(() => readEnvironment({ TAIRLIFT_HTTP: 'curl' })).toThrow(
      'TAIRLIFT_HTTP: lean or node, not "curl"',
    );
  });
});

describe('maxErrors', () => {
  it.each([
    [{ kind: 'count', count: 3 } as const, 100, 3],
    [{ kind: 'share', share: 0.1 } as const, 25, 2],
    [{ kind: 'share', share: 0.1 } as const, 3, 0],
    [{ kind: 'share', share: 1 } as const, 7, 7],
  ])('%j of %i instances tolerates %i', (limit, selected, expected) => {
    expect(toleratedErrors(limit, selected)).toBe(expected);
  });
});
