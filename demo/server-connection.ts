import { Redis } from 'ioredis';
import type { Reply, ServerConnection } from '../functions/core/proof/server-fingerprint.ts';

/** A connection for `fingerprintServer`: one client for each database, because SELECT is a state of a connection. */
export function connectTo(port: number): ServerConnection & { close(): void } {
  const clients = new Map<number, Redis>();
  return {
    call: async (database, command = '', ...rest) => {
      let client = clients.get(database);
      if (client === undefined) {
        client = new Redis({ host: '127.0.0.1', port, db: database, maxRetriesPerRequest: 1 });
        // A lost connection rejects the commands; without a listener it would be an unhandled error as well.
        client.on('error', () => undefined);
        clients.set(database, client);
      }
      return (await client.callBuffer(command.toString(), ...rest)) as Reply;
    },
    close: () => {
      for (const client of clients.values()) client.disconnect();
    },
  };
}
