/**
 * `npm run check:deploy`: renders `s.yaml` for every environment with the CLI that deploys it, and checks what comes of
 * it. By itself it needs no variables, no account and no network: what must be set is filled in with samples.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkAll, type Found } from './check-all.ts';

const HELP = `Usage: npm run check:deploy -- [options]

Checks s.yaml, env.yaml and what they refer to. Without options, what must be set is filled in with samples.

  --strict               with the variables and credentials of a deployment, as \`s deploy\` runs it first
  --command-line <text>  the command that deploys: only its --env is checked
  --environment-only     check nothing but that, as \`s remove\` runs it first
  --root <folder>        where s.yaml is (.)
  --json                 print one JSON document

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 wrong usage.
`;

const OPTIONS = {
  strict: { type: 'boolean', default: false },
  'command-line': { type: 'string', default: '' },
  'environment-only': { type: 'boolean', default: false },
  root: { type: 'string', default: '.' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

async function main(): Promise<number> {
  let options: ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];
  try {
    options = parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    say(error);
    return 2;
  }
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const { root, strict, 'command-line': commandLine, 'environment-only': environmentOnly } = options;
    const findings = await checkAll({ root: resolve(root), strict, commandLine, environmentOnly });
    const isWrong = findings.some(({ level }) => level === 'error');
    if (options.json) process.stdout.write(`${JSON.stringify({ ok: !isWrong, findings })}\n`);
    else for (const finding of findings) process.stderr.write(`${toLine(finding)}\n`);
    return isWrong ? 1 : 0;
  } catch (error) {
    if (options.json) process.stdout.write(`${JSON.stringify({ ok: false, error: messageOf(error) })}\n`);
    else say(error);
    return 1;
  }
}

function toLine({ level, environments, at, message }: Found): string {
  return `${level}: ${environments.length === 0 ? '' : `${environments.join(', ')}: `}${at}: ${message}`;
}

function say(error: unknown): void {
  process.stderr.write(`check:deploy: ${messageOf(error)}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

void main().then((code) => {
  process.exitCode = code;
});
