/** What the bench is asked to do. */
import { parseArgs } from 'node:util';
import { RECIPES, type RecipeName } from './files.ts';
import { METHODS, type MethodName } from './methods.ts';

export const SETTINGS = ['bare', 'shaped'] as const;
export type Setting = (typeof SETTINGS)[number];

export interface Options {
  /** Small files that are made up, one round: does everything run? */
  readonly isQuick: boolean;
  readonly runs: number;
  readonly settings: readonly Setting[];
  readonly files: readonly RecipeName[];
  /** Empty means all. */
  readonly only: readonly MethodName[];
  readonly growth: boolean;
  readonly kill: boolean;
  readonly json: string | undefined;
  readonly docs: string | undefined;
}

export const HELP = `npm run bench -- [options]

Moves backups from a download host into a bucket, over loopback, side by side with other ways to do it,
and says how fast, at what cost and in how much memory. Without options it measures everything, which takes
about a quarter of an hour; naming a part measures that part only.

parts
  --setting NAME   bare (loopback as fast as it goes) or shaped (60 MB/s for each connection, 10 ms before
                   each answer); several: bare,shaped
  --growth         throughput and memory against the size of the file and the number of files
  --kill           kill the uploader in the middle, start it again, count what is sent twice

how
  --runs N         rounds, of which the medians are shown (5)
  --file NAME      ${RECIPES.join(', ')} (all; bare only, shaped uses large)
  --only NAME      ${METHODS.join(', ')}
  --quick          small made-up files, one round: a test that all of it runs, no measurement

out
  --json FILE      all figures
  --docs FOLDER    renew bench/results.json and the plots in it, and the tables in its bench.md; everything only
  --help
`;

/** Throws a sentence that says what is wrong. Undefined when only help is asked for. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      setting: { type: 'string', multiple: true },
      growth: { type: 'boolean', default: false },
      kill: { type: 'boolean', default: false },
      runs: { type: 'string' },
      file: { type: 'string', multiple: true },
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      docs: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const isPart = values.setting !== undefined || values.growth || values.kill;
  if (values.docs !== undefined && (isPart || values.file !== undefined || values.only !== undefined))
    throw new Error(
      '--docs: the docs show one run of everything; leave --setting, --growth, --kill, --file and --only out',
    );
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`--runs: a whole number from 1 on, not "${values.runs}"`);
  return {
    isQuick: values.quick,
    runs,
    settings: namesOf('--setting', values.setting, SETTINGS) ?? (isPart ? [] : SETTINGS),
    files: namesOf('--file', values.file, RECIPES) ?? RECIPES,
    only: namesOf('--only', values.only, METHODS) ?? [],
    growth: values.growth || !isPart,
    kill: values.kill || !isPart,
    json: values.json,
    docs: values.docs,
  };
}

function namesOf<T extends string>(
  option: string,
  given: readonly string[] | undefined,
  known: readonly T[],
): readonly T[] | undefined {
  return given
    ?.flatMap((text) => text.split(','))
    .map((name) => {
      const found = known.find((candidate) => candidate === name);
      if (found === undefined) throw new Error(`${option}: one of ${known.join(', ')}, not "${name}"`);
      return found;
    });
}
