/** The command line. One file per command; this one turns outcomes into exit codes and signals into an end. */
import { Command, CommanderError } from 'commander';
import { asBackupError, toErrorRecord } from '../functions/core/errors.ts';
import { VERSION } from '../functions/core/version.ts';
import { backupCommand } from './backup.ts';
import { doctorCommand } from './doctor.ts';
import { emulatorCommand } from './emulator.ts';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { inspectCommand } from './inspect.ts';
import { listCommand } from './list.ts';
import { planCommand } from './plan.ts';
import { statusCommand } from './status.ts';
import { note, outliveReaders, printJson, taken } from './terminal.ts';
import { verifyCommand } from './verify.ts';

async function main(argv: readonly string[]): Promise<ExitCode> {
  const interrupted = new AbortController();
  const stop = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
    note('stopping; press Ctrl-C again to end at once');
    interrupted.abort(new Error('interrupted'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);

  let code: ExitCode = EXIT.done;
  const invocation: Invocation = {
    signal: interrupted.signal,
    finish: (result) => {
      code = result;
    },
  };
  const program = new Command('tairlift')
    .description('Verified backups of Tair (Redis OSS-compatible) instances in OSS.')
    .version(VERSION)
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for what is possible)')
    .addHelpText('after', EXIT_CODES_HELP);
  for (const create of [
    doctorCommand,
    planCommand,
    backupCommand,
    statusCommand,
    listCommand,
    inspectCommand,
    verifyCommand,
    emulatorCommand,
  ]) {
    program.addCommand(create(invocation).addHelpText('after', EXIT_CODES_HELP));
  }
  for (const command of [program, ...program.commands]) command.exitOverride();

  try {
    await program.parseAsync(argv);
    return interrupted.signal.aborted ? EXIT.interrupted : code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (interrupted.signal.aborted) return EXIT.interrupted;
    report(error, argv.includes('--json'));
    return asBackupError(error).code === 'BACKUP_DAMAGED' ? EXIT.damaged : EXIT.error;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

function report(error: unknown, json: boolean): void {
  const record = toErrorRecord(error);
  if (json) {
    printJson({ error: record });
    return;
  }
  note(`tairlift: ${record.code}: ${record.message}`);
  if (record.hint !== undefined) note(`  ${record.hint}`);
  if (record.code === 'INTERNAL' && error instanceof Error) note(error.stack ?? '');
}

outliveReaders();
void main(process.argv).then(async (code) => {
  process.exitCode = code;
  await taken(process.stdout);
  // Keep-alive connections and timers of the vendor's clients may outlive the work.
  setTimeout(() => process.exit(code), 2000).unref();
});
