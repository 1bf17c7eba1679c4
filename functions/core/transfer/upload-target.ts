/** Where bytes go: an object made of parts, or of one put. It is never replaced and never deleted. */
import type { PartBody } from './part-body.ts';

export interface UploadTarget {
  /** The object under that key, if there is one. */
  head(key: string, signal: AbortSignal): Promise<TargetObject | undefined>;

  /** Creates an object in one request. Throws DESTINATION_CONFLICT when there is one already. */
  put(key: string, body: Buffer, signal: AbortSignal): Promise<Receipt>;

  /** Begins an object of parts and returns the upload's id. Throws DESTINATION_CONFLICT when the object is there already. */
  begin(key: string, signal: AbortSignal): Promise<string>;

  /**
   * Sends one part while it arrives; sending it again replaces it. Transient failures are retried inside, each time
   * from the part's first byte; a failure of the arrival itself is thrown as it is. The bytes must not change until
   * the promise settles. UPLOAD_GONE in `details.reason` says that somebody ended the upload.
   */
  uploadPart(
    key: string,
    upload: string,
    number: number,
    body: PartBody,
    signal: AbortSignal,
  ): Promise<Receipt>;

  /** The parts that the upload holds, by number. Throws with UPLOAD_GONE when there is no such upload. */
  parts(key: string, upload: string, signal: AbortSignal): Promise<readonly HeldPart[]>;

  /**
   * Makes the object of exactly these parts. Asked once and never repeated inside: after a failure nobody knows
   * whether it happened, and only `head` can tell. Throws DESTINATION_CONFLICT when the object is there already.
   */
  complete(key: string, upload: string, parts: readonly PartReceipt[], signal: AbortSignal): Promise<Receipt>;

  /** Uploads of exactly this key that were begun by anybody and not ended, oldest first. */
  unfinished(key: string, signal: AbortSignal): Promise<readonly string[]>;

  /** Drops the upload and its parts. One that does not exist (any more) counts as dropped. */
  abort(key: string, upload: string, signal: AbortSignal): Promise<void>;
}

/** What the destination says that it has received. */
export interface Receipt {
  readonly etag: string;
  /** CRC-64/XZ of what it received, decimal; absent when it does not tell. */
  readonly crc64?: string;
}

export interface PartReceipt extends Receipt {
  readonly number: number;
}

export interface HeldPart extends PartReceipt {
  readonly bytes: number;
}

export interface TargetObject {
  readonly bytes: number;
  /** CRC-64/XZ, decimal; absent for objects that were stored without one. */
  readonly crc64?: string;
}

/** `details.reason` of an error that says that the upload does not exist any more. */
export const UPLOAD_GONE = 'upload-gone';
