/** What a fault is, and how it has to end. */
import type { AsyncTask } from '../../emulator/fc/async-tasks.ts';
import type { ErrorCode } from '../../functions/core/errors.ts';
import type { SourceFile } from './source-file.ts';
import type { SourceFiles } from './kit.ts';
import type { Place } from './place.ts';
import type { Setting } from './site.ts';

export const LEGS = [
  'download',
  'upload',
  'control',
  'source',
  'credentials',
  'process',
  'resume',
  'clock',
  'duplicates',
] as const;
export type Leg = (typeof LEGS)[number];

export interface Fault {
  readonly leg: Leg;
  /** What goes wrong: a sentence, and the fault's name. */
  readonly name: string;
  readonly ends: Ending;
  /** One for each shard; one file of several parts if left out. */
  readonly files?: (files: SourceFiles) => readonly SourceFile[];
  readonly setting?: Setting;
  /** At most so many parts may have to be sent again. */
  readonly mostPartsAgain?: number;
  /** Sets the trouble up. */
  readonly arrange: (place: Place) => void | Promise<void>;
  /** What is done in spite of it; one invocation of the uploader if left out. The last task is what is reported. */
  readonly act?: (place: Place) => Promise<AsyncTask>;
}

/**
 * - `survived`: it is transient, a patient human would get a backup by trying again, and so must we;
 * - `harmless`: it is there to stay, and a backup comes of it all the same;
 * - else it is there to stay, and must be loud, with one of these codes.
 */
export type Ending = 'survived' | 'harmless' | { readonly loud: readonly ErrorCode[] };

export function isTransient({ ends }: Fault): boolean {
  return ends === 'survived';
}
