/** What a server tells of itself and of the nodes around it: `INFO` and `CLUSTER NODES`, read strictly. */
import { isIP } from 'node:net';
import { BackupError } from '../errors.ts';
import type { Address } from './connection.ts';

/** https://redis.io/docs/latest/commands/info/ */
export interface ServerInfo {
  readonly engine: 'Redis' | 'Valkey';
  readonly version: string;
  readonly isCluster: boolean;
  readonly role: 'primary' | 'replica';
  /** A replica's: it has its primary's data and hears of every change. Always true of a primary. */
  readonly isInSync: boolean;
  /** Of the history that it holds; a replica's is its primary's. */
  readonly replicationId: string;
  /** A primary's replicas that are in sync with it, the least behind first. */
  readonly replicas: readonly Address[];
  readonly isLoading: boolean;
  readonly usedMemoryBytes: number;
}

/** A replica that is further behind is no copy of now. */
const LAG_SECONDS_MAX = 10;

export function parseInfo(text: string, server: string): ServerInfo {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const valkey = fields.get('valkey_version');
  const version = valkey ?? fields.get('redis_version');
  const role = fields.get('role');
  if (role === 'sentinel' || fields.get('redis_mode') === 'sentinel')
    throw new BackupError('CONFIG_INVALID', `read INFO of ${server}: it is a Sentinel, which holds no data`, {
      details: { server },
      hint: 'name one of the servers that it watches',
    });
  if (version === undefined || (role !== 'master' && role !== 'slave'))
    throw new BackupError('SOURCE_INVALID', `read INFO of ${server}: no version or no role in it`, {
      details: { server },
      hint: 'is there something between that is no Redis or Valkey server?',
    });
  return {
    engine: valkey === undefined ? 'Redis' : 'Valkey',
    version,
    isCluster: fields.get('cluster_enabled') === '1',
    role: role === 'master' ? 'primary' : 'replica',
    isInSync:
      role === 'master' ||
      (fields.get('master_link_status') === 'up' && fields.get('master_sync_in_progress') !== '1'),
    replicationId: fields.get('master_replid') ?? '',
    replicas: replicasOf(fields),
    isLoading: fields.get('loading') === '1',
    usedMemoryBytes: Number(fields.get('used_memory') ?? 0) || 0,
  };
}

/** `slave0:ip=10.0.0.2,port=6379,state=online,offset=1400,lag=0` */
function replicasOf(fields: ReadonlyMap<string, string>): readonly Address[] {
  const replicas: { readonly address: Address; readonly offset: number }[] = [];
  for (const [name, value] of fields) {
    if (!/^slave\d+$/.test(name)) continue;
    const parts = new Map(
      value.split(',').map((part): [string, string] => {
        const equals = part.indexOf('=');
        return [part.slice(0, equals), part.slice(equals + 1)];
      }),
    );
    const address = { host: parts.get('ip') ?? '', port: Number(parts.get('port')) };
    const isUsable =
      parts.get('state') === 'online' &&
      Number(parts.get('lag')) <= LAG_SECONDS_MAX &&
      address.host !== '' &&
      address.port > 0;
    if (isUsable) replicas.push({ address, offset: Number(parts.get('offset')) || 0 });
  }
  return replicas.sort((a, b) => b.offset - a.offset).map(({ address }) => address);
}

/** A cluster as one of its nodes sees it. */
export interface Cluster {
  /** Those that hold slots, by their first slot. */
  readonly shards: readonly Shard[];
  /** Why it cannot be backed up now, one clause; undefined when it can. */
  readonly unrest?: string;
  /** The node that was asked. */
  readonly myself: { readonly id: string; readonly primaryId: string };
}

export interface Shard {
  readonly primaryId: string;
  readonly primary: Address;
  readonly replicas: readonly Address[];
  /** `0-5460,5470` */
  readonly slots: string;
  /** Grows each time that the node takes over slots, also when they are given back. */
  readonly epoch: string;
}

const SLOTS = 16_384;

interface Node {
  readonly id: string;
  readonly address: Address;
  readonly flags: readonly string[];
  readonly primaryId: string;
  readonly isLinked: boolean;
  readonly epoch: string;
  readonly ranges: readonly (readonly [number, number])[];
  /** A slot is on its way from here or to here. Nodes tell this of themselves only. */
  readonly isMoving: boolean;
}

/**
 * `<id> <ip:port@bus[,hostname]> <flags> <primary> <ping> <pong> <epoch> <link> <slots>…`
 * https://redis.io/docs/latest/commands/cluster-nodes/
 * @param asked where the answer came from: a node may not know its own address
 */
export function parseClusterNodes(text: string, asked: Address): Cluster {
  const nodes = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => parseNode(line, asked));
  const myself = nodes.find(({ flags }) => flags.includes('myself'));
  if (myself === undefined) throw nonsense(asked, 'no line is its own');
  const shards = nodes
    .filter(({ flags, ranges }) => flags.includes('master') && ranges.length > 0)
    .sort((a, b) => firstSlot(a) - firstSlot(b));
  const unrest = unrestOf(shards, myself);
  return {
    myself: { id: myself.id, primaryId: myself.flags.includes('master') ? myself.id : myself.primaryId },
    ...(unrest === undefined ? {} : { unrest }),
    shards: shards.map(({ id, address, ranges, epoch }) => ({
      primaryId: id,
      epoch,
      primary: address,
      replicas: nodes
        .filter((node) => node.primaryId === id && node.isLinked && !isAiling(node))
        .map((node) => node.address),
      slots: ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(),
    })),
  };
}

function parseNode(line: string, asked: Address): Node {
  const [id = '', where = '', flagList = '', primaryId = '', , , epoch = '', link = '', ...slots] =
    line.split(/\s+/);
  const flags = flagList.split(',');
  const ranges: [number, number][] = [];
  for (const slot of slots) {
    if (slot.startsWith('[')) continue;
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(slot);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!(first <= last && last < SLOTS)) throw nonsense(asked, `"${slot.slice(0, 40)}" are no slots`);
    ranges.push([first, last]);
  }
  if (!/^[0-9a-f]{40}$/i.test(id)) throw nonsense(asked, `"${id.slice(0, 40)}" is no node`);
  return {
    id,
    flags,
    primaryId: primaryId === '-' ? '' : primaryId,
    isLinked: link === 'connected',
    epoch,
    address: flags.includes('myself') && !isKnown(where) ? asked : parseAddress(where),
    ranges: ranges.sort(([a], [b]) => a - b),
    isMoving: slots.some((slot) => slot.startsWith('[')),
  };
}

function isKnown(where: string): boolean {
  return parseAddress(where).host !== '';
}

/** `ip:port@bus,hostname`; the name is preferred, because certificates are for names, if anybody here knows it. */
function parseAddress(where: string): Address {
  const [address = '', hostname = ''] = where.split(',');
  const plain = address.replace(/@\d+$/, '');
  const colon = plain.lastIndexOf(':');
  const ip = plain.slice(0, colon).replace(/^\[|\]$/g, '');
  const isName = hostname !== '' && hostname !== '?' && !hostname.includes('=');
  const port = Number(plain.slice(colon + 1));
  if (!isName) return { host: ip, port };
  return { host: hostname, port, ...(isIP(ip) === 0 ? {} : { ip }) };
}

function firstSlot({ ranges }: Node): number {
  return ranges[0]?.[0] ?? SLOTS;
}

function isAiling({ flags, address }: Node): boolean {
  return flags.some((flag) => /^(fail\??|handshake|noaddr)$/.test(flag)) || address.host === '';
}

function unrestOf(shards: readonly Node[], myself: Node): string | undefined {
  const ailing = shards.find(isAiling);
  if (ailing !== undefined) return `the primary ${ailing.id} is failing`;
  if (myself.isMoving) return 'slots are being moved';
  const covered = new Uint8Array(SLOTS);
  for (const { ranges } of shards)
    for (const [first, last] of ranges)
      for (let slot = first; slot <= last; slot++) covered[slot] = (covered[slot] ?? 0) + 1;
  const missing = covered.reduce((count, owners) => count + (owners === 0 ? 1 : 0), 0);
  if (missing > 0) return `${missing} slots belong to no primary`;
  if (covered.some((owners) => owners > 1)) return 'slots belong to two primaries';
  return undefined;
}

function nonsense({ host, port }: Address, reason: string): BackupError {
  return new BackupError('SOURCE_INVALID', `read CLUSTER NODES of ${host}:${port}: ${reason}`, {
    details: { server: `${host}:${port}` },
  });
}
