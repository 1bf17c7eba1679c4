/**
 * A copy of what the CLI reads to deploy, beside the built functions, so that a test may change a line of it; and
 * components that only write down what they are asked for, where the CLI looks for those that it has fetched before.
 */
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './sample-deployment.ts';

export interface Ran {
  readonly code: number;
  /** Both streams. */
  readonly said: string;
}

/** What a component was asked to do. */
export interface Asked {
  readonly resource: string;
  readonly command: string;
  readonly props: Readonly<Record<string, unknown>>;
}

export interface DeploymentFolder {
  readonly path: string;
  /** Replaces text of one of its files; fails when there is no such text. */
  edit(file: string, from: string, to: string): void;
  /** `npm run check:deploy -- …`, without building. */
  check(args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<Ran>;
  /** The CLI, with components that write down what they are asked for. */
  s(args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<Ran>;
  /** In order, since the last call. */
  asked(): readonly Asked[];
  remove(): void;
}

/** A component by its bundled code, or by the folder in which the CLI keeps it. */
export type Component = { readonly code: string } | { readonly folder: string };

/** @param components by name; some that only write down what they are asked for if left out */
export function makeDeploymentFolder(
  components: Readonly<Record<string, Component>> = WRITING,
): DeploymentFolder {
  const path = mkdtempSync(join(tmpdir(), 'tairlift-deploy-'));
  const home = join(path, 'home');
  const journal = join(path, 'asked.jsonl');
  for (const file of ['s.yaml', 'env.yaml', 'plans.yaml']) copyFileSync(join(ROOT, file), join(path, file));
  for (const folder of ['dist', 'node_modules', 'infra']) symlinkSync(join(ROOT, folder), join(path, folder));
  // The check that comes before a deployment runs as it does in the project, but builds nothing under other tests.
  const script = `node "${join(ROOT, 'dist', 'check-deploy', 'index.js')}"`;
  writeFileSync(join(path, 'package.json'), JSON.stringify({ scripts: { 'check:deploy': script } }));
  for (const [name, component] of Object.entries(components))
    makeComponent(join(home, '.s', 'components', 'devsapp.cn', 'v3', name), component);

  const run = async (
    args: readonly string[],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<Ran> =>
    new Promise((resolve) => {
      const { PATH } = process.env;
      const env = {
        PATH,
        // Else the CLI leaves processes behind that look for news of it, and write into a folder that is being removed.
        NODE_ENV: 'test',
        HOME: home,
        serverless_devs_config_home: home,
        TAIRLIFT_ASKED: journal,
        ...variables,
      };
      // No terminal and no CI: as a script of one's own would run it.
      execFile(process.execPath, args, { cwd: path, env, timeout: 60_000 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : error.code;
        resolve({ code: typeof code === 'number' ? code : -1, said: `${stdout}\n${stderr}` });
      });
    });

  return {
    path,
    edit(file, from, to) {
      const text = readFileSync(join(path, file), 'utf8');
      if (!text.includes(from)) throw new Error(`edit ${file}: there is no ${from}`);
      writeFileSync(join(path, file), text.replace(from, to));
    },
    check: async (args, variables) =>
      run([join(ROOT, 'dist', 'check-deploy', 'index.js'), ...args], variables),
    s: async (args, variables) =>
      run([join(ROOT, 'node_modules', '@serverless-devs', 's', 'bin', 's'), ...args], variables),
    asked() {
      if (!existsSync(journal)) return [];
      const lines = readFileSync(journal, 'utf8').trim().split('\n');
      rmSync(journal);
      return lines.map((line) => JSON.parse(line) as Asked); // as the component writes it
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

const COMPONENT = `
const { appendFileSync } = require('node:fs');
class Component {}
for (const command of ['deploy', 'info', 'remove'])
  Component.prototype[command] = async ({ props, resource }) => {
    appendFileSync(process.env.TAIRLIFT_ASKED, JSON.stringify({ resource: resource.name, command, props }) + '\\n');
    if (process.env.TAIRLIFT_FAILS === resource.name) throw new Error('the service says no');
    return {};
  };
module.exports = Component;
module.exports.default = Component;
`;

const WRITING = { fc3: { code: COMPONENT }, ros: { code: COMPONENT }, 'fc3-domain': { code: COMPONENT } };

/** As the CLI keeps a component that it has fetched. */
function makeComponent(folder: string, component: Component): void {
  mkdirSync(dirname(folder), { recursive: true });
  if ('folder' in component) return symlinkSync(component.folder, folder);
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'component', version: '0.0.1', main: 'index.js' }),
  );
  writeFileSync(join(folder, 'index.js'), component.code);
  writeFileSync(join(folder, '.s.lock'), JSON.stringify({ version: '0.0.1', lastUpdateCheck: Date.now() }));
}
