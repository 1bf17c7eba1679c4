import { Command } from 'commander';
import { redact } from '../functions/core/errors.ts';
import type { RdbReport } from '../functions/core/rdb/report.ts';
import { createRdbScanner } from '../functions/core/rdb/scanner.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { openInput, type Input } from './input.ts';
import type { Invocation } from './invocation.ts';
import { print, printJson, progressBar, size, table } from './terminal.ts';

export function inspectCommand({ signal, finish }: Invocation): Command {
  return new Command('inspect')
    .description('Read an RDB file to its end: is it sound, and what is inside?')
    .argument('<file>', 'path, - for standard input, http(s) address, or oss://bucket/key')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift inspect dump.rdb\n  tairlift inspect oss://my-backups/Backup_r-bp1abc/2026-11-20/20261120T180000Z-nightly/hins1_data_20261121020000.rdb\n  tairlift inspect --json "https://…/dump.rdb?Expires=…"',
    )
    .action(async (file: string, options: { readonly json?: true }) => {
      const input = await openInput(file, signal);
      const report = await scan(input);
      if (options.json === true) printJson(toJson(input, report));
      else show(input, report);
      finish(exitCode(report));
    });
}

async function scan(input: Input): Promise<RdbReport> {
  const scanner = createRdbScanner();
  const bar = progressBar('reading', input.bytes);
  try {
    for await (const chunk of input.chunks) {
      scanner.write(chunk);
      bar.add(chunk.length);
    }
  } finally {
    bar.end();
  }
  return scanner.end();
}

/** The report and the fingerprint side by side, with the names that a manifest uses for them. */
function toJson(input: Input, { fingerprint, ...report }: RdbReport): unknown {
  return { file: input.name, ...report, ...fingerprint };
}

function exitCode({ verdict }: RdbReport): ExitCode {
  if (verdict === 'truncated' || verdict === 'corrupt') return EXIT.damaged;
  return verdict === 'unsupported' ? EXIT.error : EXIT.done;
}

const MEANING = {
  sound: 'reads cleanly to its end, and its own checksum holds',
  unverifiable: 'reads cleanly to its end, but its writer left no checksum to hold it against',
  truncated: 'ends too early',
  corrupt: 'is damaged',
  unsupported: 'cannot be read without guessing',
} as const;

function show(input: Input, report: RdbReport): void {
  const { verdict, problem, fingerprint } = report;
  print(`${redact(input.name)}: ${verdict}: ${MEANING[verdict]}`);
  if (problem !== undefined) {
    const at =
      problem.key === undefined
        ? ''
        : `, key ${problem.key}${problem.database === undefined ? '' : ` in database ${problem.database}`}`;
    print(`  at byte ${problem.offset}, while reading ${problem.doing}${at}: ${problem.reason}`);
  }
  print('');
  const facts: [string, string | number][] = [
    ['bytes', report.bytes],
    ['format', `${fingerprint.dialect} ${fingerprint.version}`],
    ...Object.entries(fingerprint.aux).map(([name, value]): [string, string] => [
      name,
      value.length > 80 ? `${value.slice(0, 80)}…` : value,
    ]),
    ['keys', fingerprint.keys],
    ['with a time to live', fingerprint.expires],
    ...(fingerprint.unchecked === undefined
      ? []
      : ([['too large to look into', fingerprint.unchecked]] satisfies [string, number][])),
    ['functions', fingerprint.functions],
    ['cluster slots', `${fingerprint.slots.seen} of 16384`],
    ['digest', fingerprint.digest],
    ['checksum', report.checksum ?? 'none'],
  ];
  print(table(['', ''], facts).split('\n').slice(1).join('\n'));
  section(
    'DATABASE',
    ['KEYS', 'WITH TTL'],
    Object.entries(fingerprint.databases).map(([name, found]) => [name, found.keys, found.expires]),
  );
  section(
    'TYPE',
    ['KEYS', 'SIZE'],
    Object.entries(fingerprint.types).map(([name, found]) => [name, found.keys, size(found.bytes)]),
  );
  section('MODULE TYPE', ['KEYS'], Object.entries(fingerprint.modules));
  section(
    'BIGGEST KEYS',
    ['DATABASE', 'TYPE', 'SIZE'],
    fingerprint.biggest.map((big) => [big.key, big.database, big.type, size(big.bytes)]),
  );
}

function section(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  if (rows.length > 0) print(`\n${table([title, ...columns], rows)}`);
}
