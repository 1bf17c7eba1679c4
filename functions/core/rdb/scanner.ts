import { crc64Jones } from '../crc64.ts';
import { createLoops, type Loops } from '../wasm/loops.ts';
import type { Workspace } from '../wasm/workspace.ts';
import type { RdbContents } from './digest.ts';
import { BackupError } from '../errors.ts';
import { decodeState, encodeState } from './checkpoint.ts';
import { ContentDigest } from './digest.ts';
import { Fault } from './fault.ts';
import { FastKeys } from './fast-keys.ts';
import { FileReader } from './file.ts';
import { FIRST_VERSION_WITH_CHECKSUM, HELD_BYTES_MAX } from './format.ts';
import { Input } from './input.ts';
import type { Problem, RdbReport, Verdict } from './report.ts';

/**
 * Reads an RDB file as it streams by. Bytes come in through `write` in order and in chunks of any size; nothing
 * is thrown for bad content, and memory does not grow with the file or with its largest value.
 */
export interface RdbScanner {
  /** Takes the next bytes. The chunk may be reused as soon as the call returns. After a problem, bytes are only counted. */
  write(chunk: Uint8Array): void;
  /** True as soon as the verdict cannot become `sound` or `unverifiable` any more. */
  hasFailed(): boolean;
  /**
   * Ends the input. Safe to call twice; the second call returns the same report.
   * @param residue CRC-64/Jones from zero over the whole file with its trailer, for a scanner with a given checksum
   */
  end(residue?: bigint): RdbReport;
  /**
   * The newest point between two keys that was passed, and everything that is known up to there: some kilobytes, and up
   * to 4 MiB more as long as keys are still compared with each other. Undefined before there is one, after a problem, and
   * for a scanner that somebody listens to or that computes the file's checksum itself.
   */
  checkpoint(): ScannerCheckpoint | undefined;
}

/** A scanner made from it is written the bytes from `offset` on, and ends in the report of one that saw them all. */
export interface ScannerCheckpoint {
  readonly offset: number;
  readonly state: Buffer;
}

export interface RdbScannerOptions {
  /**
   * Asks for a second summary, `live`, without what expires before this instant (milliseconds since 1970): what a
   * server that loads the file holds then. To be compared with `fingerprintServer` of the same instant.
   */
  readonly expiredBefore?: number;
  /** Hears of every key and element as it is read. */
  readonly contents?: RdbContents;
  /** Largest compact value that is held in memory to be looked into, and largest key at all. Default 32 MiB. */
  readonly heldBytesMax?: number;
  /** `given`: the caller computes the file's checksum and gives it to `end`. */
  readonly checksum?: 'computed' | 'given';
  /**
   * Where another scanner with the same options left off; needs a given checksum, and nobody who listens. If it is not
   * usable, `createRdbScanner` throws `INTERNAL`, and the file has to be read from its beginning.
   */
  readonly from?: ScannerCheckpoint;
  /**
   * Chunks that lie in it are read where they are, fast from the first key on. Without one, chunks are copied, and that
   * begins once a file turns out to be worth it.
   */
  readonly workspace?: Workspace;
  /** Whether most keys are taken by the fast loop, as they are if nobody listens. Only tests ask for something else. */
  readonly fastLoop?: boolean;
}

/** Smaller files are read before the fast loop would be ready. */
const FAST_FROM_BYTES = 1024 * 1024;

export function createRdbScanner(options: RdbScannerOptions = {}): RdbScanner {
  const live =
    options.expiredBefore === undefined
      ? undefined
      : new ContentDigest({ expiredBefore: options.expiredBefore, ...nextOf(options.contents) });
  const { workspace } = options;
  const digest = new ContentDigest({
    ...nextOf(live ?? options.contents),
    ...(workspace === undefined ? {} : { loops: workspace.loops }),
  });
  const input = new Input();
  const file = new FileReader(input, digest, options.heldBytesMax);
  const crc = crc64Jones(workspace?.loops);
  const parse = file.read();
  const { from, heldBytesMax = HELD_BYTES_MAX } = options;
  const hasCheckpoints = options.checksum === 'given' && options.contents === undefined && live === undefined;
  if (from !== undefined) restore(from);
  let mayBeFast = (options.fastLoop ?? true) && live === undefined && options.contents === undefined;
  const tables = mayBeFast ? workspace?.lendTables() : undefined;
  if (tables !== undefined) useFast(tables);

  let bytes = from?.offset ?? 0;
  /** Bytes that the reader wants in one piece before it goes on; 0 once it is at its end, or cannot go on. */
  let wanted = 1;
  let failure: { verdict: Verdict; problem: Problem } | undefined;
  let report: RdbReport | undefined;

  function write(chunk: Uint8Array): void {
    bytes += chunk.length;
    if (wanted === 0 || chunk.length === 0) return;
    if (options.checksum !== 'given') crc.update(chunk);
    if (mayBeFast && bytes >= FAST_FROM_BYTES) useFast(createLoops(0).loops);
    input.supply(chunk);
    try {
      while (wanted > 0 && input.reach(wanted)) wanted = parse.next().value ?? 0;
    } catch (thrown) {
      wanted = 0;
      failure = failureOf(thrown);
    }
  }

  function useFast(loops: Loops): void {
    file.useFast(new FastKeys(loops));
    mayBeFast = false;
  }

  /** The tables are given back as soon as nothing is read any more. */
  function endFast(): void {
    file.endFast();
    mayBeFast = false;
    if (tables !== undefined) workspace?.returnTables();
  }

  function restore({ offset, state }: ScannerCheckpoint): void {
    const saved = decodeState(state, { heldBytesMax });
    if (!hasCheckpoints || saved.state.offset !== offset)
      throw new BackupError(
        'INTERNAL',
        `go on with a scan at byte ${offset}: the checkpoint is not for this scanner`,
      );
    file.restore(saved.state, saved.identities);
  }

  function checkpoint(): ScannerCheckpoint | undefined {
    const state = hasCheckpoints && report === undefined && !hasFailed() ? file.save() : undefined;
    if (state === undefined) return undefined;
    return { offset: state.offset, state: encodeState(state, file.identities(), { heldBytesMax }) };
  }

  function failureOf(thrown: unknown): { verdict: Verdict; problem: Problem } {
    if (thrown instanceof Fault) return { verdict: thrown.verdict, problem: file.problem(thrown.message) };
    const what = thrown instanceof Error ? thrown.message : 'unknown';
    return { verdict: 'unsupported', problem: file.problem(`a defect of the reader itself (${what})`) };
  }

  function hasFailed(): boolean {
    return failure !== undefined || file.complaint !== undefined || (wanted === 0 && bytes > input.offset());
  }

  function end(residue?: bigint): RdbReport {
    if (report === undefined) endFast();
    report ??= conclude(options.checksum === 'given' ? residue : crc.value());
    return report;
  }

  function conclude(residue: bigint | undefined): RdbReport {
    const { verdict, problem } = file.complaint ?? failure ?? judge(residue);
    const hasChecksum =
      wanted === 0 && failure === undefined && file.checksum !== undefined && file.checksum !== 0n;
    return {
      verdict,
      ...(problem === undefined ? {} : { problem }),
      bytes,
      ...(hasChecksum ? { checksum: file.checksum?.toString(16).padStart(16, '0') ?? '' } : {}),
      fingerprint: file.facts.report(digest.summary()),
      ...(live === undefined ? {} : { live: live.summary() }),
    };
  }

  /** The verdict on a file in which nothing was found wrong on the way. */
  function judge(residue: bigint | undefined): { verdict: Verdict; problem?: Problem } {
    if (wanted > 0)
      return { verdict: 'truncated', problem: file.problem(`the file ends after ${bytes} bytes`) };
    const after = bytes - input.offset();
    if (after > 0) {
      input.begin('the end of the file');
      return { verdict: 'corrupt', problem: file.problem(`${after} bytes follow the end`) };
    }
    if (file.facts.version < FIRST_VERSION_WITH_CHECKSUM || file.checksum === 0n)
      return { verdict: 'unverifiable' };
    // The checksum of everything with the checksum itself at its end is zero.
    if (residue !== 0n)
      return { verdict: 'corrupt', problem: file.problem('it is not the checksum of this file') };
    return { verdict: 'sound' };
  }

  return { write, hasFailed, end, checkpoint };
}

function nextOf(contents: RdbContents | undefined): { next?: RdbContents } {
  return contents === undefined ? {} : { next: contents };
}
