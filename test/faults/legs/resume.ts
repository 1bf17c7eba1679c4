/**
 * An uploader is killed in the middle of a file, when it has left a point to go on from, and the next one goes on: with
 * the point, the parts in OSS and the file at the source as they were, or with one of them altered meanwhile.
 */
import { readFileSync } from 'node:fs';
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import { crc64Xz } from '../../../functions/core/crc64.ts';
import { answerWith, type Exchange, type Trouble } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { isOss, isPart, isReading, rangeOf } from '../requests.ts';
import { BUCKET, UPLOADER } from '../site.ts';
import { flipped, page, refuse, reply, reset, silence, slowLink, withHeaders } from '../troubles.ts';

const ALWAYS = Infinity;
const POINT = /\/resume-[^/]+\.json$/;
/** Two parts or so pass before the first point is due. */
const LINK_BYTES = 700_000;

const { signal } = new AbortController();
const run = async (place: Place): Promise<AsyncTask> => place.invokeOrchestrator();

/** Kills the uploader as soon as it has left a point; `meanwhile` is what happens until the next one comes. */
function interrupt(
  place: Place,
  meanwhile: (pointKey: string) => void | Promise<void> = () => undefined,
): void {
  const { emulator, oss, download, expectTrouble } = place;
  let isSlow = true;
  const slow = slowLink(LINK_BYTES);
  download.script({ on: (request) => isSlow && isReading(request), times: ALWAYS, trouble: slow });
  const kills = { met: 0 };
  const trouble: Trouble = async (exchange) => {
    await exchange.ask();
    kills.met += emulator.fc.killRunning(UPLOADER);
    isSlow = false;
    await meanwhile(keyOf(exchange));
  };
  expectTrouble(kills);
  oss.script({ on: isOss('put', POINT), trouble });
}

function keyOf({ request }: Exchange): string {
  const { pathname } = new URL(request.url, 'http://wire');
  return decodeURIComponent(pathname).slice(`/${BUCKET}/`.length);
}

function fault(name: string, arrange: Fault['arrange'], rest: Partial<Fault> = {}): Fault {
  return { leg: 'resume', name, ends: 'survived', arrange, act: run, ...rest };
}

/** The point that was left, with other content. */
function withPoint(change: (point: string, place: Place) => string): Fault['arrange'] {
  return (place) =>
    interrupt(place, async (key) => {
      const { emulator, bucket } = place;
      const point = String(await emulator.oss.read(BUCKET, key));
      await emulator.oss.remove(BUCKET, key);
      await bucket.create(key, Buffer.from(change(point, place)), 'application/json', signal);
    });
}

interface Point {
  upload: string;
  identity?: string;
  readonly prefix: { parts: number; bytes: number; crc64: string; jones: string; etags: string };
  readonly observer: { offset: number; state: string };
}

function change(edit: (point: Point, place: Place) => void): Fault['arrange'] {
  return withPoint((text, place) => {
    const point = JSON.parse(text) as Point;
    edit(point, place);
    return JSON.stringify(point);
  });
}

/** What the next uploader asks about the interrupted upload does not go well. */
function onAsking(
  what: 'head' | 'get' | 'list-parts' | 'list-uploads',
  trouble: (place: Place) => Trouble,
  times: number,
): Fault['arrange'] {
  return (place) => {
    const key = what === 'head' || what === 'get' ? POINT : undefined;
    interrupt(place, () => {
      const script = { on: isOss(what, key), times, trouble: trouble(place) };
      place.expectTrouble(place.oss.script(script));
    });
  };
}

const mishap = ({ random }: Place): Trouble =>
  random.pick([reset, silence, refuse(503, 'ServiceUnavailable'), page(200), page(502), reply(200, '')]);

const interrupted: readonly Fault[] = [
  fault('an uploader is killed when it has left a point', (place) => interrupt(place), { mostPartsAgain: 1 }),
  fault('an uploader is killed at each of its points', (place) => {
    interrupt(place);
    const { emulator, oss } = place;
    oss.script({
      on: isOss('put', POINT),
      trouble: async (exchange) => {
        await exchange.ask();
        emulator.fc.killRunning(UPLOADER);
      },
    });
  }),
  fault(
    'no point can be written',
    ({ oss, download, expectTrouble }) =>
      expectTrouble(
        download.script({ on: isReading, times: ALWAYS, trouble: slowLink(LINK_BYTES) }),
        oss.script({ on: isOss('put', POINT), times: ALWAYS, trouble: refuse(403, 'AccessDenied') }),
      ),
    { ends: 'harmless' },
  ),
];

const asked: readonly Fault[] = [
  fault('the look for a point does not go well', onAsking('head', mishap, 2)),
  fault('the reading of a point does not go well', onAsking('get', mishap, 2)),
  fault('the list of the parts that are there does not go well', onAsking('list-parts', mishap, 2)),
  fault('the list of the uploads that are there does not go well', onAsking('list-uploads', mishap, 2)),
  fault(
    'the parts that are there may not be listed',
    onAsking('list-parts', () => refuse(403, 'AccessDenied'), ALWAYS),
    { ends: 'harmless' },
  ),
  fault(
    'the uploads that are there may not be listed',
    onAsking('list-uploads', () => refuse(403, 'AccessDenied'), ALWAYS),
    { ends: 'harmless' },
  ),
];

const points: readonly Fault[] = [
  fault(
    'a point is nonsense',
    withPoint((point, { random }) =>
      random.pick(['', 'null', '[]', '{"version":99}', point.slice(0, point.length / 2), '\0'.repeat(500)]),
    ),
  ),
  fault(
    'a point is of another upload',
    change((point) => (point.upload = '0123456789ABCDEF')),
  ),
  fault(
    'a point claims more than there is',
    change(({ prefix, observer }) => {
      prefix.bytes += 8 * 1024 ** 2;
      prefix.parts++;
      observer.offset += 8 * 1024 ** 2;
    }),
  ),
  fault(
    'a point has another checksum of the bytes',
    change(({ prefix }) => (prefix.crc64 = '1234567890')),
  ),
  fault(
    'a point has another checksum of the content',
    change(({ prefix }) => (prefix.jones = '1234567890')),
  ),
  fault(
    'a byte of what the scanner has noted is altered',
    change(({ observer }, { random }) => {
      const state = Buffer.from(observer.state, 'base64');
      observer.state = flipped(state, random.between(0, state.length - 1)).toString('base64');
    }),
  ),
];

const elsewhere: readonly Fault[] = [
  fault('the interrupted upload is ended by somebody else', (place) =>
    interrupt(place, async () => {
      const { bucket, emulator } = place;
      for (const { key } of emulator.oss.uploads(BUCKET))
        for (const upload of await bucket.unfinished(key, signal)) await bucket.abort(key, upload, signal);
    }),
  ),
  fault('a part of the interrupted upload is replaced by other bytes', (place) => {
    let first: { readonly exchange: Exchange; readonly body: Buffer } | undefined;
    const remember: Trouble = async (exchange) => {
      first ??= { exchange, body: await exchange.receive() };
      await answerWith(exchange, await exchange.ask());
    };
    place.expectTrouble(place.oss.script({ on: isPart(1), trouble: remember }));
    interrupt(place, async () => {
      // Whoever has the upload's id may send a part of it, also when it is there already.
      await first?.exchange.ask(flipped(first.body, place.random.between(0, first.body.length - 1)));
    });
  }),
  fault('the file at the source is replaced by another one of its length', (place) => {
    const { oss, download, emulator, sources } = place;
    const before = readFileSync(sources.otherLarge.path);
    let isBefore = true;
    const crc = crc64Xz();
    crc.update(before);
    const headers = { etag: '"BEFORE"', 'x-oss-hash-crc64ecma': crc.value().toString() };
    const slow = slowLink(LINK_BYTES);
    const serveBefore: Trouble = async (exchange) => {
      const { start, end } = rangeOf(exchange.request) ?? { start: 0, end: before.length };
      const answer = withHeaders(await exchange.ask(), headers);
      await slow({ ...exchange, ask: async () => ({ ...answer, body: before.subarray(start, end) }) });
    };
    const witness = download.script({ on: () => isBefore, times: ALWAYS, trouble: serveBefore });
    // What is complete is not replaced: the one that is killed does not get that far.
    oss.script({ on: (request) => isBefore && isOss('complete')(request), times: ALWAYS, trouble: silence });
    const kills = { met: 0 };
    oss.script({
      on: isOss('put', POINT),
      trouble: async (exchange) => {
        await exchange.ask();
        isBefore = false;
        kills.met += emulator.fc.killRunning(UPLOADER);
      },
    });
    place.expectTrouble(witness, kills);
  }),
];

export const resumeFaults: readonly Fault[] = [...interrupted, ...asked, ...points, ...elsewhere];
