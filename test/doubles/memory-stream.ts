/** A stream that is in memory, comes in pieces, and may break off. */
import { BackupError } from '../../functions/core/errors.ts';
import type { ByteStream } from '../../functions/core/transfer/byte-stream.ts';
import { stopReason } from '../../functions/core/transfer/retry.ts';

export interface MemoryStream extends ByteStream {
  isClosed(): boolean;
}

export interface MemoryStreamOptions {
  readonly pieceBytes?: number;
  /** After so many bytes it breaks off. */
  readonly breaksAt?: number;
  /** After so many bytes nothing comes any more, until it is closed. */
  readonly stallsAt?: number;
}

/** @param byteAt what it holds, for streams that would not fit into memory; or all of it */
export function createMemoryStream(
  content: Buffer | { readonly bytes: number; readonly block: Buffer },
  { pieceBytes = 65_536, breaksAt = Infinity, stallsAt = Infinity }: MemoryStreamOptions = {},
): MemoryStream {
  const length = Buffer.isBuffer(content) ? content.length : content.bytes;
  let at = 0;
  let isClosed = false;
  let onClose = (): void => undefined;

  function copy(into: Uint8Array, start: number, bytes: number): void {
    if (Buffer.isBuffer(content)) {
      content.copy(into, start, at, at + bytes);
      return;
    }
    for (let done = 0; done < bytes;) {
      const from = (at + done) % content.block.length;
      done += content.block.copy(
        into,
        start + done,
        from,
        Math.min(content.block.length, from + bytes - done),
      );
    }
  }

  return {
    name: 'orders_0.rdb of orders',
    isClosed: () => isClosed,
    close: () => {
      isClosed = true;
      onClose();
    },
    read: async (into, signal, onFilled) => {
      let filled = 0;
      while (filled < into.length && at < length) {
        if (signal.aborted) throw stopReason(signal);
        if (at >= stallsAt && !isClosed) await new Promise<void>((resolve) => (onClose = resolve));
        if (isClosed || at >= breaksAt)
          throw new BackupError('SOURCE_TRUNCATED', `pull: the connection ended at byte ${at}`, {
            retryable: true,
          });
        const bytes = Math.min(
          pieceBytes,
          into.length - filled,
          length - at,
          breaksAt - at,
          stallsAt - at || Infinity,
        );
        copy(into, filled, bytes);
        at += bytes;
        filled += bytes;
        await onFilled?.(filled);
      }
      return filled;
    },
  };
}
