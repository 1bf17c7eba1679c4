/**
 * The emulator's own HTTP interface, for scripts and for processes other than the one that started it:
 * `GET/POST/DELETE /faults`, `GET/DELETE /journal`, `POST /clock/advance`, `GET /state`,
 * `POST /timers/<function>/<timer>`, `POST /functions/<function>/kill` and `/duplicate-next`, `POST /instances/<id>/status`,
 * `/fail-next`, `/vanish` and `/empty-urls`. JSON in and out, loopback only, no authentication.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FaultScript } from './faults.ts';
import { policiesOf } from './identity.ts';
import type { Emulator } from './start-emulator.ts';

export interface Control {
  readonly endpoint: string;
  close(): Promise<void>;
}

type Parts = Pick<Emulator, 'world' | 'tair' | 'oss' | 'fc' | 'cms' | 'ros' | 'deadLetters' | 'accessKey'>;

export async function createControl(parts: Parts, port: number): Promise<Control> {
  const server = createServer((request, response) => {
    perform(parts, request).then(
      (result) => {
        response.writeHead(result === undefined ? 404 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(result ?? { error: `no such thing: ${request.method} ${request.url}` }));
      },
      (error: unknown) => {
        response.writeHead(400, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ error: error instanceof Error ? error.message : 'unknown error' }));
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function perform(
  { world, tair, fc, cms, ros, deadLetters }: Parts,
  request: IncomingMessage,
): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const [area = '', ...rest] = url.pathname.split('/').filter((part) => part !== '');
  switch (`${request.method} ${area}`) {
    case 'GET faults':
      return world.faults.list();
    case 'POST faults':
      return { id: world.faults.add((await readJson(request)) as FaultScript) };
    case 'DELETE faults':
      if (rest[0] === undefined) world.faults.clear();
      return { removed: rest[0] === undefined ? true : world.faults.remove(rest[0]) };
    case 'GET journal':
      return world.journal.entries();
    case 'DELETE journal':
      world.journal.clear();
      return {};
    case 'POST clock': {
      const { ms } = (await readJson(request)) as { ms: number };
      world.clock.advance(ms);
      return { now: world.clock.now() };
    }
    case 'GET state':
      return {
        endpoints: world.endpoints,
        instances: tair.describe(),
        functions: fc.describe(),
        events: cms.events(),
        deadLetters,
        stacks: ros.describe(),
        recorded: ros.recorded(),
        roles: world.identity
          .roles()
          .filter(({ accountId }) => accountId === world.accountId)
          .map((role) => ({
            name: role.name,
            arn: role.arn,
            trusts: role.trusts,
            policies: policiesOf(role),
          })),
      };
    case 'POST functions':
      return changeFunction(fc, decodeURIComponent(rest[0] ?? ''), rest[1] ?? '');
    case 'POST instances':
      return changeInstance(tair, decodeURIComponent(rest[0] ?? ''), rest[1] ?? '', await readJson(request));
    case 'POST timers':
      return {
        requestId: await fc.fireTimer(decodeURIComponent(rest[0] ?? ''), decodeURIComponent(rest[1] ?? '')),
      };
    default:
      return undefined;
  }
}

/** Undefined when there is no such change; throws when there is no such function. */
function changeFunction(fc: Parts['fc'], name: string, change: string): unknown {
  if (!fc.describe().some((one) => one.name === name))
    throw new Error(`there is no function ${name} in this world`);
  if (change === 'kill') return { killed: fc.killRunning(name) };
  if (change !== 'duplicate-next') return undefined;
  fc.duplicateNext(name);
  return {};
}

/** Undefined when there is no such change; throws when there is no such instance. */
async function changeInstance(
  tair: Parts['tair'],
  id: string,
  change: string,
  body: unknown,
): Promise<unknown> {
  const { status, areEmpty } = body as { readonly status?: string; readonly areEmpty?: boolean };
  switch (change) {
    case 'status':
      if (typeof status !== 'string') throw new Error('say which: {"status": "Changing"}');
      tair.setStatus(id, status);
      return {};
    case 'fail-next':
      tair.failNextBackup(id, body as Parameters<typeof tair.failNextBackup>[1]);
      return {};
    case 'vanish':
      await tair.vanishJob(id);
      return {};
    case 'empty-urls':
      tair.emptyUrls(id, areEmpty ?? true);
      return {};
    default:
      return undefined;
  }
}

const MAX_BODY_BYTES = 1024 * 1024;

async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of request) {
    const bytes = piece as Buffer;
    length += bytes.length;
    if (length > MAX_BODY_BYTES) throw new Error('the body is too large');
    pieces.push(bytes);
  }
  return length === 0 ? {} : (JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown);
}
