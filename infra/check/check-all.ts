/** Every environment of a deployment, each rendered and checked; with samples, or with what it will be deployed with. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { checkDeployment, type Surroundings } from './check-deployment.ts';
import type { Package } from './check-functions.ts';
import { checkEnvironment, parseCommandLine, readEnvironments, type CommandLine } from './environments.ts';
import { createFindings, type Finding } from './finding.ts';
import { render } from './render.ts';
import { parseTemplate } from './template-facts.ts';

export interface CheckOptions {
  /** Where `s.yaml` is. */
  readonly root: string;
  /** With the variables and credentials of this process; else with samples, and nothing of this machine counts. */
  readonly strict: boolean;
  /** Of the `s` that is about to deploy; empty where it is not known. */
  readonly commandLine: string;
  /** Nothing but whether its `--env` is one: what is removed may be broken, and its variables forgotten. */
  readonly environmentOnly: boolean;
}

/** A finding, and the environments in which it was made; none for those that are made in all. */
export interface Found extends Finding {
  readonly environments: readonly string[];
}

/** What `s.yaml` says by itself, without any of `env.yaml`. */
const NO_ENVIRONMENT = '(none)';

/** Throws when a file is missing that nothing can be checked without. */
export async function checkAll(options: CheckOptions): Promise<readonly Found[]> {
  const { root, strict, commandLine, environmentOnly } = options;
  const general = createFindings();
  const command = parseCommandLine(commandLine);
  if (command.template !== undefined && basename(command.template) !== 's.yaml')
    general.error(
      'render',
      command.template,
      'it would be deployed, and s.yaml is what is checked; change s.yaml or env.yaml instead, or name it s.yaml',
    );
  const environments = environmentsToCheck(root, command, general);
  if (environmentOnly) return inAll(general.all);
  const surroundings = readSurroundings(root);
  const variables = strict ? process.env : samplesFor(readText(root, 's.yaml', 'fetch it again'));

  const byEnvironment: (readonly [environment: string, findings: readonly Finding[]])[] = [];
  for (const environment of environments) {
    const findings = createFindings();
    const json = await render({
      root,
      variables,
      asUser: strict,
      ...(environment === NO_ENVIRONMENT ? {} : { environment }),
      ...(command.access === undefined ? {} : { access: command.access }),
    }).catch((error: unknown) => findings.error('render', 's.yaml', messageOf(error)));
    if (json !== undefined) {
      const { rendered, accountId } = withAccount(json);
      if (accountId === undefined)
        findings.warning(
          'credentials',
          's.yaml',
          'no credentials were found, so names were checked with a made-up account; set them up with `npx s config add`',
        );
      else if (!/^\d{10,20}$/.test(accountId))
        findings.error(
          'credentials',
          's.yaml',
          `the account of the credentials is "${accountId}", which is no id such as ${SAMPLE_ACCOUNT}; correct it with \`npx s config add\`, or in AccountID`,
        );
      const there = { ...surroundings, accountId: accountId ?? SAMPLE_ACCOUNT };
      byEnvironment.push([environment, [...findings.all, ...checkDeployment(rendered, there)]]);
    } else byEnvironment.push([environment, findings.all]);
  }
  return [...inAll(general.all), ...merged(byEnvironment)];
}

function inAll(findings: readonly Finding[]): readonly Found[] {
  return findings.map((finding) => ({ ...finding, environments: [] }));
}

/** The one that is asked for, where that is known; else all. */
function environmentsToCheck(
  root: string,
  { environment }: CommandLine,
  findings: ReturnType<typeof createFindings>,
): readonly string[] {
  const known = existsSync(join(root, 'env.yaml'))
    ? readEnvironments(readFileSync(join(root, 'env.yaml'), 'utf8'), findings)
    : [];
  if (environment === undefined) return [NO_ENVIRONMENT, ...known];
  if (findings.all.length === 0) checkEnvironment(environment, known, findings);
  return known.filter((name) => name === environment);
}

function readSurroundings(root: string): Omit<Surroundings, 'accountId'> {
  const text = readText(root, 'infra/template.json', 'make it with `npm run synth`');
  let template: Surroundings['template'];
  try {
    template = parseTemplate(text);
  } catch (cause) {
    throw new Error('infra/template.json is no template; make it with `npm run synth`', { cause });
  }
  return {
    template,
    plans: readText(root, 'plans.yaml', 'write one, as docs/plans.md says'),
    packages: (code, handler) => packageIn(resolve(root, code), handler),
    now: new Date(),
  };
}

function readText(root: string, path: string, otherwise: string): string {
  if (!existsSync(join(root, path))) throw new Error(`there is no ${path}; ${otherwise}`);
  return readFileSync(join(root, path), 'utf8');
}

const SAMPLE_ACCOUNT = '1234567890123456';
const SAMPLES = {
  AccountID: SAMPLE_ACCOUNT,
  AccessKeyID: 'sample-key-id',
  AccessKeySecret: 'sample-key-secret',
  TAIRLIFT_BUCKET: 'sample-backups',
  TAIRLIFT_CONTACT_GROUP: 'sample-contacts',
};

/** What must be set, set. The others are empty, which counts as not set, and keeps those of a `.env` from being read. */
function samplesFor(deployment: string): Readonly<Record<string, string>> {
  const names = [...deployment.matchAll(/env\('(TAIRLIFT_\w+)'/g)].map(([, name = '']) => name);
  return { ...Object.fromEntries(names.map((name) => [name, ''])), ...SAMPLES };
}

/** What the CLI leaves when it knows no credentials. */
const UNKNOWN_ACCOUNT = "${config('AccountID')}";

/** Whoever deploys is the one in the roles. */
function withAccount(json: unknown): { readonly rendered: unknown; readonly accountId?: string } {
  const text = JSON.stringify(json);
  if (text.includes(UNKNOWN_ACCOUNT))
    return { rendered: JSON.parse(text.replaceAll(UNKNOWN_ACCOUNT, SAMPLE_ACCOUNT)) as unknown };
  // Variables come before it, and may name roles of other accounts.
  return { rendered: json, accountId: /"role":"acs:ram::([^:"]+):/.exec(text)?.[1] ?? SAMPLE_ACCOUNT };
}

function packageIn(folder: string, handler: string): Package {
  if (!existsSync(folder)) return { exported: [] };
  const files = Object.fromEntries(
    readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size]),
  );
  const exported = exportedBy(join(folder, `${handler.split('.')[0]}.js`));
  if (files['plans.yaml'] === undefined) return { files, exported };
  return { files, exported, plans: readFileSync(join(folder, 'plans.yaml'), 'utf8') };
}

function exportedBy(file: string): readonly string[] | Error {
  try {
    const loaded = createRequire(file)(file) as Readonly<Record<string, unknown>>; // as the runtime loads it
    return Object.keys(loaded).filter((name) => typeof loaded[name] === 'function');
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** What is found in several environments is said once. */
function merged(
  byEnvironment: readonly (readonly [environment: string, findings: readonly Finding[]])[],
): readonly Found[] {
  const found = new Map<string, { readonly finding: Finding; readonly environments: string[] }>();
  for (const [environment, findings] of byEnvironment)
    for (const finding of findings) {
      const key = JSON.stringify(finding);
      const before = found.get(key);
      if (before === undefined) found.set(key, { finding, environments: [environment] });
      else if (!before.environments.includes(environment)) before.environments.push(environment);
    }
  return [...found.values()].map(({ finding, environments }) => ({
    ...finding,
    environments: environments.length === byEnvironment.length ? [] : environments,
  }));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
