import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadRdb } from '../../../emulator/redis/redis-process.ts';
import { ask, backUp, backupsOf, startTair, type RunningTair } from './start-tair.ts';

let running: RunningTair;

beforeAll(async () => {
  running = await startTair([
    { region: 'cn-hangzhou', id: 'r-standard' },
    { region: 'cn-hangzhou', id: 'r-cluster', architecture: 'cluster', shards: 3 },
  ]);
});

afterAll(async () => running.stop());

/** What a fresh server holds after loading the file behind a URL. */
async function loaded(
  url: string | undefined,
): Promise<{ readonly keys: number; readonly value: string | null }> {
  const answer = await ask(url ?? '');
  expect(answer.status).toBe(200);
  const file = join(running.world.folder, 'downloaded.rdb');
  await writeFile(file, answer.body);
  const server = await loadRdb(file);
  try {
    return { keys: await server.client.dbsize(), value: await server.client.get('name') };
  } finally {
    await server.stop();
  }
}

it('has shards that refuse the keys of other shards', async () => {
  const [first, , last] = running.tair.instance('r-cluster').shards;
  expect(first?.slots).toEqual([0, 5460]);
  expect(last?.slots).toEqual([10_922, 16_383]);
  // `foo` is in slot 12182.
  await expect(first?.client.set('foo', '1')).rejects.toThrow(/CLUSTERDOWN|MOVED/);
  expect(await last?.client.set('foo', '1')).toBe('OK');
  await last?.client.del('foo');
});

it('starts the servers of an instance that is added, and ends those of one that is removed', async () => {
  await running.tair.addInstance({ region: 'cn-hangzhou', id: 'r-added' });
  const [shard] = running.tair.instance('r-added').shards;
  expect(await shard?.client.select(255)).toBe('OK');
  await running.tair.removeInstance('r-added');
  await expect(shard?.client.ping()).rejects.toThrow(/closed/);
  expect(() => running.tair.instance('r-added')).toThrow(/no instance r-added/);
});

it('refuses specs that cannot be right', async () => {
  const { tair } = running;
  await expect(tair.addInstance({ region: 'cn-hangzhou', id: 'r-standard' })).rejects.toThrow(
    /there already/,
  );
  await expect(tair.addInstance({ region: 'cn-hangzhou', id: '../r' })).rejects.toThrow(/no instance id/);
  await expect(tair.addInstance({ region: 'cn-hangzhou', id: 'r-x', shards: 2 })).rejects.toThrow(
    /only clusters/,
  );
});

it('turns real data into an RDB file that a fresh server loads', async () => {
  const [shard] = running.tair.instance('r-standard').shards;
  await shard?.client.mset({ name: 'tairlift', other: 'x'.repeat(5000) });
  const [row] = await backupsOf(running, 'r-standard', await backUp(running, 'r-standard'));
  expect(row).toMatchObject({
    backupStatus: 'Success',
    backupMode: 'Manual',
    backupType: 'FullBackup',
    nodeInstanceId: 'r-standard',
  });
  expect(await loaded(row?.backupDownloadURL)).toEqual({ keys: 2, value: 'tairlift' });
});

it('makes a file for each shard of a cluster, with the keys of its slots', async () => {
  const { shards } = running.tair.instance('r-cluster');
  let written = 0;
  for (let number = 0; number < 300; number++) {
    const key = `key-${number}`;
    const slot = Number(await shards[0]?.client.call('CLUSTER', 'KEYSLOT', key));
    const owner = shards.find(({ slots }) => slots !== undefined && slots[0] <= slot && slot <= slots[1]);
    if ((await owner?.client.set(key, number)) === 'OK') written++;
  }
  expect(written).toBe(300);
  const rows = await backupsOf(running, 'r-cluster', await backUp(running, 'r-cluster'));
  expect(rows.map((row) => row.nodeInstanceId)).toEqual([
    'r-cluster-db-0',
    'r-cluster-db-1',
    'r-cluster-db-2',
  ]);
  const found = [];
  for (const row of rows) found.push((await loaded(row.backupDownloadURL)).keys);
  const held = await Promise.all(shards.map(async ({ client }) => client.dbsize()));
  expect(found).toEqual(held);
  expect(found.reduce((sum, keys) => sum + keys, 0)).toBe(300);
});
