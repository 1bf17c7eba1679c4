import { BUCKET, codeOf, failure, raw, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
/** In the order of their UTF-8 bytes, which is not that of JavaScript's strings. */
const KEYS = ['A', 'a/1', 'a/2', 'a/b/3', 'a0', 'b', 'b!/x', 'ä', '\uffee', '🎈'];

beforeAll(async () => {
  stage = await startOss();
  for (const key of KEYS.toReversed()) await stage.client().put(key, Buffer.from(key));
});
afterAll(async () => stage.stop());

test('lists in the order of the bytes', async () => {
  const { objects } = await stage.client().listV2({ 'max-keys': '100' });
  expect(objects.map(({ name }) => name)).toEqual(KEYS);
  expect(objects[0]).toMatchObject({ size: 1, type: 'Normal', storageClass: 'Standard' });
});

describe.each([1, 2, 3, 7])('in pages of %i', (size) => {
  test('version 2 gives everything once, by continuation tokens', async () => {
    const seen: string[] = [];
    let token: string | undefined;
    do {
      const page = await stage.client().listV2({
        'max-keys': String(size),
        ...(token === undefined ? {} : { 'continuation-token': token }),
      });
      expect(page.keyCount).toBeLessThanOrEqual(size);
      seen.push(...(page.objects ?? []).map(({ name }) => name));
      token = page.nextContinuationToken || undefined;
      expect(page.isTruncated).toBe(token !== undefined);
    } while (token !== undefined);
    expect(seen).toEqual(KEYS);
  });

  test('version 1 gives everything once, by markers', async () => {
    const seen: string[] = [];
    let marker = '';
    for (;;) {
      const page = await stage.client().list({ 'max-keys': size, marker }, {});
      seen.push(...(page.objects ?? []).map(({ name }) => name));
      if (!page.isTruncated) break;
      marker = page.nextMarker;
    }
    expect(seen).toEqual(KEYS);
  });

  test('a delimiter groups, and no group is given twice', async () => {
    const names: string[] = [];
    const groups: string[] = [];
    let token: string | undefined;
    do {
      const page = await stage.client().listV2({
        'max-keys': String(size),
        delimiter: '/',
        ...(token === undefined ? {} : { 'continuation-token': token }),
      });
      names.push(...(page.objects ?? []).map(({ name }) => name));
      groups.push(...(page.prefixes ?? []));
      token = page.nextContinuationToken || undefined;
    } while (token !== undefined);
    expect(groups).toEqual(['a/', 'b!/']);
    expect(names).toEqual(KEYS.filter((key) => !key.includes('/')));
  });
});

test('a prefix and a delimiter show one folder', async () => {
  const page = await stage.client().listV2({ prefix: 'a/', delimiter: '/' });
  expect(page.objects.map(({ name }) => name)).toEqual(['a/1', 'a/2']);
  expect(page.prefixes).toEqual(['a/b/']);
});

test('starts behind a key that need not exist', async () => {
  const page = await stage.client().listV2({ 'start-after': 'a/15', prefix: 'a' });
  expect(page.objects.map(({ name }) => name)).toEqual(['a/2', 'a/b/3', 'a0']);
  expect((await stage.client().listV2({ prefix: 'zzz' })).objects ?? []).toEqual([]);
});

test('a hundred keys make a page when nothing else is asked for, and a thousand are the most', async () => {
  const client = stage.client({ bucket: 'in-shanghai', region: 'oss-cn-shanghai' });
  for (let at = 0; at < 101; at++) await client.put(`k${String(at).padStart(3, '0')}`, Buffer.alloc(0));
  const page = await client.listV2({});
  expect([page.objects.length, page.isTruncated]).toEqual([100, true]);
  expect(await failure(client.listV2({ 'max-keys': '1001' }))).toMatchObject({ code: 'InvalidArgument' });
  expect(await failure(client.list({ 'max-keys': 0 }, {}))).toMatchObject({ code: 'InvalidArgument' });
});

test('keys are encoded on request', async () => {
  const answer = await raw(stage, 'GET', `/${BUCKET}/`, {
    query: { 'list-type': '2', 'encoding-type': 'url', prefix: 'a/b' },
  });
  expect(answer.body).toContain('<Key>a%2Fb%2F3</Key>');
  const wrong = await raw(stage, 'GET', `/${BUCKET}/`, { query: { 'encoding-type': 'rot13' } });
  expect(codeOf(wrong)).toBe('InvalidArgument');
});

test('a token that was made up is refused', async () => {
  const error = await failure(stage.client().listV2({ 'continuation-token': 'a/1' }));
  expect(error).toMatchObject({ code: 'InvalidArgument', status: 400 });
});

describe('buckets', () => {
  test('can be made, described and deleted when empty', async () => {
    const client = stage.client({ bucket: 'made-by-test' });
    await client.putBucket('made-by-test');
    await client.putBucket('made-by-test');
    const { bucket } = await client.getBucketInfo('made-by-test');
    expect(bucket).toMatchObject({ Name: 'made-by-test', Location: 'oss-cn-hangzhou' });
    expect(await client.getBucketLocation('made-by-test')).toMatchObject({ location: 'oss-cn-hangzhou' });
    await client.put('x', Buffer.from('x'));
    expect(await failure(client.deleteBucket('made-by-test'))).toMatchObject({
      code: 'BucketNotEmpty',
      status: 409,
    });
    await client.delete('x');
    await client.deleteBucket('made-by-test');
    expect(await failure(client.getBucketInfo('made-by-test'))).toMatchObject({ code: 'NoSuchBucket' });
  });

  test('cannot be taken from another account', async () => {
    expect(await failure(stage.client().putBucket('of-somebody-else'))).toMatchObject({
      code: 'BucketAlreadyExists',
      status: 409,
    });
    expect(await failure(stage.client().getBucketInfo('of-somebody-else'))).toMatchObject({
      code: 'AccessDenied',
      status: 403,
    });
  });

  test('are listed in pages', async () => {
    const first = await raw(stage, 'GET', '/', { query: { 'max-keys': '1' } });
    expect(first.body).toContain('<NextMarker>in-shanghai</NextMarker>');
    const second = await raw(stage, 'GET', '/', { query: { 'max-keys': '1', marker: 'in-shanghai' } });
    expect(second.body).toContain(`<Name>${BUCKET}</Name>`);
    expect(second.body).not.toContain('NextMarker');
  });
});
