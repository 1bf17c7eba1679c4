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
