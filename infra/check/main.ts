/**
 * `npm run check:deploy`: renders `s.yaml` for every environment with the CLI that deploys it, and checks what comes of
 * it. By itself it needs no variables, no account and no network: what must be set is filled in with samples.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkDeployment } from './check-deployment.ts';
import type { Package } from './check-functions.ts';
import { checkEnvironment, parseCommandLine, readEnvironments } from './environments.ts';
import { createFindings, type Finding } from './finding.ts';
import { render } from './render.ts';
import { parseTemplate } from './template-facts.ts';

const HELP = `Usage: npm run check:deploy -- [options]

Checks s.yaml, env.yaml and what they refer to. Without options, what must be set is filled in with samples.

  --strict               with the variables and credentials of a deployment, as \`s deploy\` runs it first
  --command-line <text>  the command that deploys: only its --env is checked
  --root <folder>        where s.yaml is (.)
  --json                 print one JSON document

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 wrong usage.
`;

const SAMPLE_ACCOUNT = '1234567890123456';
const SAMPLES = {
  AccountID: SAMPLE_ACCOUNT,
  AccessKeyID: 'sample-key-id',
  AccessKeySecret: 'sample-key-secret',
  TAIRLIFT_BUCKET: 'sample-backups',
  TAIRLIFT_CONTACT_GROUP: 'sample-contacts',
};

interface Checked extends Finding {
  /** Of `env.yaml`; left out for what `s.yaml` says by itself. */
  readonly environment?: string;
}

interface Options {
  readonly root: string;
  readonly strict: boolean;
  readonly commandLine: string;
}

async function checkAll({ root, strict, commandLine }: Options): Promise<readonly Checked[]> {
  const findings = createFindings();
  const textOf = (path: string): string => {
    if (!existsSync(join(root, path)))
      throw new Error(`there is no ${path}; fetch it again, or make it with \`npm run synth\``);
    return readFileSync(join(root, path), 'utf8');
  };
  const known = existsSync(join(root, 'env.yaml')) ? readEnvironments(textOf('env.yaml'), findings) : [];
  const { environment: asked, access } = parseCommandLine(commandLine);
  if (asked !== undefined) checkEnvironment(asked, known, findings);

  const all: Checked[] = [];
  const environments = asked === undefined ? [undefined, ...known] : known.filter((name) => name === asked);
  for (const environment of environments) {
    const named = environment === undefined ? {} : { environment };
    const rendering = { root, ...named, ...(access === undefined ? {} : { access }) };
    let json: unknown;
    try {
      json = await render({
        ...rendering,
        ...(strict ? { variables: process.env, asUser: true } : { variables: samplesFor(textOf('s.yaml')) }),
      });
    } catch (error) {
      all.push({ level: 'error', rule: 'render', at: 's.yaml', ...named, message: messageOf(error) });
      continue;
    }
    const text = JSON.stringify(json);
    if (text.includes(UNKNOWN_ACCOUNT))
      findings.warning(
        'credentials',
        's.yaml',
        'no credentials were found, so names were checked with a made-up account; set them up with `npx s config add`',
      );
    const surroundings = {
      template: parseTemplate(textOf('infra/template.json')),
      plans: textOf('plans.yaml'),
      packages: (code: string, handler: string) => packageIn(resolve(root, code), handler),
      accountId: accountIn(text),
      now: new Date(),
    };
    const completed: unknown = JSON.parse(text.replaceAll(UNKNOWN_ACCOUNT, SAMPLE_ACCOUNT));
    for (const finding of checkDeployment(completed, surroundings)) all.push({ ...finding, ...named });
  }
  return [...findings.all, ...all];
}

/** What the CLI leaves when it knows no credentials. */
const UNKNOWN_ACCOUNT = "${config('AccountID')}";

/** Of whoever deploys: the one in the roles. */
function accountIn(rendered: string): string {
  return /acs:ram::(\d+):role\/tairlift-/.exec(rendered)?.[1] ?? SAMPLE_ACCOUNT;
}

/** Variables of the machine do not count, and those of a `.env` neither: what is there, even empty, is not replaced. */
function samplesFor(template: string): Readonly<Record<string, string>> {
  const names = [...template.matchAll(/env\('(TAIRLIFT_\w+)'/g)].map(([, name = '']) => name);
  return { ...Object.fromEntries(names.map((name) => [name, ''])), ...SAMPLES };
}

function packageIn(folder: string, handler: string): Package {
  if (!existsSync(folder)) return { exported: [] };
  const files = Object.fromEntries(
    readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size]),
  );
  const plans =
    files['plans.yaml'] === undefined ? undefined : readFileSync(join(folder, 'plans.yaml'), 'utf8');
  return {
    files,
    exported: exportedBy(join(folder, `${handler.split('.')[0]}.js`)),
    ...(plans === undefined ? {} : { plans }),
  };
}

function exportedBy(file: string): readonly string[] | Error {
  try {
    const loaded = createRequire(file)(file) as Readonly<Record<string, unknown>>; // as the runtime loads it
    return Object.keys(loaded).filter((name) => typeof loaded[name] === 'function');
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function toLine({ level, environment, at, message }: Checked): string {
  return `${level}: ${environment === undefined ? '' : `${environment}: `}${at}: ${message}`;
}

/** What is wrong in every environment is said once. */
function merged(checked: readonly Checked[]): readonly Checked[] {
  const seen = new Set<string>();
  return checked.filter(({ environment: _environment, ...finding }) => {
    const key = JSON.stringify(finding);
    return seen.has(key) ? false : seen.add(key);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      strict: { type: 'boolean', default: false },
      'command-line': { type: 'string', default: '' },
      root: { type: 'string', default: '.' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const checked = await checkAll({
    root: resolve(values.root),
    strict: values.strict,
    commandLine: values['command-line'],
  });
  const isWrong = checked.some(({ level }) => level === 'error');
  if (values.json) process.stdout.write(`${JSON.stringify({ ok: !isWrong, findings: checked })}\n`);
  else for (const finding of merged(checked)) process.stderr.write(`${toLine(finding)}\n`);
  return isWrong ? 1 : 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`check:deploy: ${messageOf(error)}\n`);
    process.exitCode = error instanceof TypeError ? 2 : 1;
  },
);
