/** What people see: tables, sizes, progress bars. Results go to standard output, everything else to standard error. */
import { MultiBar } from 'cli-progress';
import Table from 'cli-table3';
import { redact } from '../functions/core/errors.ts';

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A reader that has seen enough (`| head`) does not stop the work, and is no failure of it. */
export function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}

/** Resolves when all that was printed has been taken: a pager may take its time. */
export async function taken(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write('', () => resolve());
  });
}

/** For people, beside the result. */
export function note(text: string): void {
  process.stderr.write(`${redact(text)}\n`);
}

const PLAIN_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Columns that hold only numbers and sizes are aligned to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const numeric = head.map(
    (_, column) =>
      rows.length > 0 &&
      rows.every((row) => /^[\d.,]+( [kMGT]?i?B)?$|^$|^-$/.test(String(row[column] ?? ''))),
  );
  const result = new Table({
    head: [...head],
    chars: PLAIN_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: numeric.map((right) => (right ? 'right' : 'left')),
  });
  result.push(...rows.map((row) => row.map(String)));
  return result
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `12.3 MB`; decimal units, as the OSS console and bills use them. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit] ?? ''}`;
}

export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export interface Progress {
  /** Adds to what is done. */
  add(bytes: number): void;
  end(): void;
}

/** Bars below a scrolling text, on standard error. Without a terminal there is only the text. */
export interface Bars {
  /** A bar for something of this length; unknown or short lengths get none, they are over before a bar is read. */
  start(label: string, totalBytes: number | undefined): Progress;
  /** A line above the bars. */
  note(text: string): void;
  end(): void;
}

const SILENT: Progress = { add: () => undefined, end: () => undefined };
const MIN_BYTES_FOR_BAR = 16 * 1024 * 1024;

export function createBars(): Bars {
  if (!process.stderr.isTTY) return { start: () => SILENT, note, end: () => undefined };
  const bars = new MultiBar({
    format: '{label} {bar} {percentage}%  {done} of {all}  {rate}/s  {eta_formatted} left',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    fps: 8,
  });
  return {
    start(label, totalBytes = 0) {
      if (totalBytes < MIN_BYTES_FOR_BAR) return SILENT;
      const startedAtMs = Date.now();
      const bar = bars.create(totalBytes, 0, { label, done: size(0), all: size(totalBytes), rate: size(0) });
      let done = 0;
      return {
        add(bytes) {
          done += bytes;
          const seconds = Math.max(0.001, (Date.now() - startedAtMs) / 1000);
          bar.update(done, { done: size(done), rate: size(done / seconds) });
        },
        end: () => void bars.remove(bar),
      };
    },
    note: (text) => bars.log(`${redact(text)}\n`),
    end: () => bars.stop(),
  };
}

/** One bar alone. */
export function progressBar(label: string, totalBytes: number | undefined): Progress {
  const bars = createBars();
  const bar = bars.start(label, totalBytes);
  return { add: (bytes) => bar.add(bytes), end: () => bars.end() };
}

/** Of one file: `label` names it. */
export interface FileProgress {
  readonly label: string;
  readonly doneBytes: number;
  readonly bytes: number;
}

/** A bar for each file that is said to move. */
export function showFiles(bars: Bars): { update(progress: FileProgress): void; end(): void } {
  const files = new Map<string, { readonly bar: Progress; done: number }>();
  return {
    update({ label, doneBytes, bytes }) {
      const shown = files.get(label) ?? { bar: bars.start(label, bytes), done: 0 };
      files.set(label, shown);
      // A file that is read a second time starts over.
      shown.bar.add(doneBytes - shown.done);
      shown.done = doneBytes;
      if (doneBytes === bytes) shown.bar.end();
    },
    end: () => {
      for (const { bar } of files.values()) bar.end();
    },
  };
}
