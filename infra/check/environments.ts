/** `env.yaml`: what `--env` may be, and what it changes. */
import { parse } from 'yaml';
import * as z from 'zod';
import { suggestion } from '../../functions/core/config.ts';
import type { Findings } from './finding.ts';

const RESOURCES = ['infra', 'orchestrator', 'uploader'] as const;
const overlay = z.record(z.string(), z.unknown());

const environmentsSchema = z.strictObject({
  environments: z.array(
    z.strictObject({
      name: z.string(),
      description: z.string().optional(),
      type: z.string().optional(),
      overlays: z.strictObject({
        resources: z.strictObject({
          infra: overlay.optional(),
          orchestrator: overlay.optional(),
          uploader: overlay.optional(),
        }),
      }),
    }),
  ),
});

/** Their names. What lies over a resource that there is not changes nothing, and the CLI does not say so. */
export function readEnvironments(text: string, findings: Findings): readonly string[] {
  const parsed = environmentsSchema.safeParse(parse(text));
  if (parsed.success) return parsed.data.environments.map(({ name }) => name);
  for (const issue of parsed.error.issues) {
    const at = `env.yaml: ${issue.path.map(String).join('.')}`;
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys)
        findings.error(
          'overlay',
          at,
          `"${key}" lies over nothing that there is, and would change nothing${suggestion(key, RESOURCES)}; correct it, or take it out`,
        );
    else findings.error('overlay', at, `${issue.message}; correct it`);
  }
  return [];
}

export interface CommandLine {
  /** What follows `--env`. */
  readonly environment?: string;
  /** What follows `-a`. */
  readonly access?: string;
  /** What follows `-t`: what is deployed instead of `s.yaml`. */
  readonly template?: string;
}

/** Of the `s` that is about to deploy; empty where the system does not tell. */
export function parseCommandLine(text: string): CommandLine {
  const valueOf = (option: string): string | undefined =>
    new RegExp(`(?:^|\\s)${option}[=\\s]+([^\\s-]\\S*)`).exec(text)?.[1];
  const [environment, access, template] = ['--env', '(?:-a|--access)', '(?:-t|--template)'].map(valueOf);
  return {
    ...(environment === undefined ? {} : { environment }),
    ...(access === undefined ? {} : { access }),
    ...(template === undefined ? {} : { template }),
  };
}

/** Of a name that it does not know, the CLI only warns: it goes on with what `s.yaml` says by itself. */
export function checkEnvironment(asked: string, known: readonly string[], findings: Findings): void {
  if (!known.includes(asked))
    findings.error(
      'overlay',
      'env.yaml',
      `there is no environment "${asked}"${suggestion(asked, known)}; the CLI would go on without one: choose ${known.join(' or ')}`,
    );
}
