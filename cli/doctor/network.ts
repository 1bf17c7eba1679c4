/** The way to the services: can they be reached from here, and do their clocks agree with ours? */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { ServiceEndpoint } from '../../functions/core/compose.ts';
import { attempt, bad, note, ok, type Check } from './check.ts';

const REACH_LIMIT_MS = 5_000;

/** Requests are signed with our time: the services refuse what is a quarter of an hour off. */
const SKEW_ERROR_MS = 15 * 60_000;
const SKEW_WARN_MS = 5 * 60_000;

export async function checkNetwork(
  endpoints: readonly ServiceEndpoint[],
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const skews: number[] = [];
  const found = await Promise.all(endpoints.map(async (endpoint) => checkEndpoint(endpoint, skews, signal)));
  return [...found.flat(), ...checkClock(skews)];
}

async function checkEndpoint(
  { service, url, isNeeded }: ServiceEndpoint,
  skews: number[],
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { host } = new URL(url);
  const unreachable = isNeeded ? 'error' : 'warn';
  const checks = await attempt(
    'endpoint',
    host,
    signal,
    async (limited) => {
      try {
        const { sentAtMs, gotAtMs, date } = await knock(url, limited);
        const theirs = Date.parse(date);
        // To the second, and taken somewhere between our request and its answer.
        if (!Number.isNaN(theirs)) skews.push((sentAtMs + gotAtMs) / 2 - (theirs + 500));
        return [ok('endpoint', host, `${service} can be reached, in ${gotAtMs - sentAtMs} ms`)];
      } catch (error) {
        limited.throwIfAborted();
        const { says, todo } = explain(error, host);
        return [bad(unreachable, 'endpoint', host, `${service} cannot be reached: ${says}`, todo)];
      }
    },
    REACH_LIMIT_MS,
  );
  return checks.map((check) =>
    check.says.startsWith('no answer')
      ? bad(
          unreachable,
          'endpoint',
          host,
          `${service} cannot be reached: ${check.says}`,
          'check firewalls and proxies on the way: what is dropped is never answered',
        )
      : check,
  );
}

interface Knock {
  readonly sentAtMs: number;
  readonly gotAtMs: number;
  /** The header of the answer. */
  readonly date: string;
}

/** An unsigned request, whose refusal is as good an answer as any. */
async function knock(url: string, signal: AbortSignal): Promise<Knock> {
  const sentAtMs = Date.now();
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asking = request(url, { method: 'GET', signal, agent: false }, (response) => {
      response.resume();
      response.once('error', () => undefined);
      resolve({ sentAtMs, gotAtMs: Date.now(), date: response.headers.date ?? '' });
      asking.destroy();
    });
    asking.once('error', reject);
    asking.end();
  });
}

function explain(error: unknown, host: string): { readonly says: string; readonly todo: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return {
      says: `its name is not known here (${code})`,
      todo: `check the name servers of this machine, and whether there is a region of that name: ${host}`,
    };
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return {
      says: `nobody answers there (${code})`,
      todo: 'check firewalls, proxies and the TAIRLIFT_ENDPOINT_ variables',
    };
  if (/CERT|SSL|TLS|SELF_SIGNED|ALTNAME|UNABLE_TO/i.test(`${code} ${message}`))
    return {
      says: `its certificate is not trusted (${code || message})`,
      todo: 'a proxy on the way shows its own: make its authority known by NODE_EXTRA_CA_CERTS; and check the clock of this machine',
    };
  return {
    says: `the connection ends (${code || message})`,
    todo: 'check firewalls and proxies on the way',
  };
}

function checkClock(skews: readonly number[]): readonly Check[] {
  // One odd clock among many is theirs.
  const sorted = [...skews].sort((a, b) => a - b);
  const skewMs = sorted[Math.floor(sorted.length / 2)];
  if (skewMs === undefined) return [note('clock', '', 'nobody told the time')];
  const seconds = Math.round(skewMs / 1000);
  if (Math.abs(skewMs) < SKEW_WARN_MS)
    return [ok('clock', '', Math.abs(seconds) <= 2 ? 'agrees with theirs' : `${off(seconds)} theirs`)];
  return [
    bad(
      Math.abs(skewMs) < SKEW_ERROR_MS ? 'warn' : 'error',
      'clock',
      '',
      `the clock of this machine is ${off(seconds)} those of the services, which refuse what is 15 min off`,
      'set it; let it be kept by NTP',
    ),
  ];
}

function off(seconds: number): string {
  const size = Math.abs(seconds);
  const amount = size < 120 ? `${size} s` : `${Math.round(size / 60)} min`;
  return `${amount} ${seconds > 0 ? 'ahead of' : 'behind'}`;
}
