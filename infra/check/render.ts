/** `s.yaml` with everything filled in, by the Serverless Devs CLI itself: nobody else knows exactly what it makes of it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RenderOptions {
  /** The folder that `s.yaml` is in; what the CLI reads besides, `env.yaml` and `.env`, lies there too. */
  readonly root: string;
  /** One of `env.yaml`; what `s.yaml` says by itself if left out. */
  readonly environment?: string;
  /** All that the CLI sees of the environment, beside what it needs to start. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** The name of the credentials; those that `s.yaml` names if left out. */
  readonly access?: string;
  /** Uses the credentials that the user has set up for the CLI; else it knows those of the variables only. */
  readonly asUser?: boolean;
}

/** As JSON; what it is like is for the reader to find out. Throws with what the CLI says when it cannot be rendered. */
export async function render(options: RenderOptions): Promise<unknown> {
  const home = options.asUser === true ? undefined : await mkdtemp(join(tmpdir(), 'tairlift-s-'));
  try {
    const printed = await preview(options, home);
    const start = printed.indexOf('\n{') + 1;
    return JSON.parse(printed.slice(printed.startsWith('{') ? 0 : start)) as unknown;
  } finally {
    if (home !== undefined) await rm(home, { recursive: true, force: true });
  }
}

const RENDER_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** https://docs.serverless-devs.com/user-guide/builtin/preview/: reads local files only. */
async function preview(
  { root, environment, access, variables }: RenderOptions,
  home: string | undefined,
): Promise<string> {
  const cli = join(root, 'node_modules', '@serverless-devs', 's', 'bin', 's');
  const args = [
    cli,
    'preview',
    '-o',
    'json',
    ...(environment === undefined ? [] : ['--env', environment]),
    ...(access === undefined ? [] : ['-a', access]),
  ];
  const env = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    ...variables,
    // Keeps the CLI from asking a registry for its own next version.
    NODE_ENV: 'test',
    ...(home === undefined ? {} : { serverless_devs_config_home: home }),
  };
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      args,
      { cwd: root, env, timeout: RENDER_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`render s.yaml: ${saidBy(`${stdout}\n${stderr}`) || error.message}`));
      },
    );
  });
}

/** The message in what the CLI prints about an error, without its frame. */
function saidBy(printed: string): string {
  const [, message = ''] = printed.split('Error Message:');
  return message
    .replace(/\n *🍼[^]*|\n *A complete log of this run[^]*/u, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}
