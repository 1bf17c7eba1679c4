/** STS alone, over https as clients demand it, with two accounts and a role. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { listen } from '../../../emulator/http.ts';
import { createIdentity, type AccessKey, type Role } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import { createCertificate, type Certificate } from '../../../emulator/sts/certificate.ts';
import { createSts } from '../../../emulator/sts/sts-service.ts';
import { noEndpoints, type World } from '../../../emulator/world.ts';
import { askRpc, type RpcAnswer } from '../ask-rpc.ts';

export const CALLER_ID = '1111111111111111';
export const OWNER_ID = '2222222222222222';

export interface RunningSts {
  readonly world: World;
  readonly host: string;
  readonly certificate: Certificate;
  /** Of the account that the role trusts. */
  readonly caller: AccessKey;
  readonly stranger: AccessKey;
  readonly role: Role;
  stop(): Promise<void>;
}

export async function startSts(): Promise<RunningSts> {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-sts-'));
  const clock = createClock();
  const world: World = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder,
    accountId: CALLER_ID,
    endpoints: noEndpoints(),
  };
  const certificate = await createCertificate(folder);
  const listening = await listen(createSts(world), world, { tls: certificate });
  const role = world.identity.addRole({
    accountId: OWNER_ID,
    name: 'tairlift-source',
    trusts: [CALLER_ID],
    externalId: 'team-a',
    allow: ['kvstore:*'],
  });
  return {
    world,
    host: `127.0.0.1:${listening.port}`,
    certificate,
    caller: world.identity.addAccount(CALLER_ID),
    stranger: world.identity.addAccount('3333333333333333'),
    role,
    stop: async () => {
      await listening.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type Answer = RpcAnswer;

type Key = AccessKey & { readonly securityToken?: string };

export async function ask(
  sts: RunningSts,
  action: string,
  parameters: Readonly<Record<string, string>>,
  key: Key = sts.caller,
): Promise<Answer> {
  const endpoint = `https://${sts.host}`;
  return askRpc({ endpoint, version: '2015-04-01', action, parameters, key, ca: sts.certificate.cert });
}

/** Runs a script against the service in a process that trusts the certificate as any client's would. */
export async function runScript(sts: RunningSts, script: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
    timeout: 30_000,
    env: { ...process.env, NODE_EXTRA_CA_CERTS: sts.certificate.certFile },
  });
  return stdout.trim();
}
