/** How everything of a deployment is called. All names come from one word, so that any part can be deployed alone. */

/** Part of the names of functions, roles, queues and projects, which allow no more than this. */
export const STAGE_PATTERN = '^[a-z][a-z0-9-]{0,15}$';

export interface Names {
  readonly stack: string;
  readonly orchestrator: string;
  readonly uploader: string;
  /** Roles are called as their functions; in lower case, because the deployment writes their ARNs so. */
  readonly orchestratorRole: string;
  readonly uploaderRole: string;
  /** Unique in a region over all accounts, so it carries the account's id. */
  readonly logProject: string;
  readonly logstore: string;
  readonly deadLetters: string;
  /** Alarm rules. */
  readonly orchestratorErrors: string;
  readonly uploaderErrors: string;
  readonly runEvents: string;
  readonly lateRuns: string;
}

/**
 * @param stage `dev`, `prod`, …: as `STAGE_PATTERN` has it, or a placeholder
 * @param accountId of the account in which tairlift runs, or a placeholder
 */
export function namesOf(stage: string, accountId: string): Names {
  const all = `tairlift-${stage}`;
  return {
    stack: all,
    orchestrator: `${all}-orchestrator`,
    uploader: `${all}-uploader`,
    orchestratorRole: `${all}-orchestrator`,
    uploaderRole: `${all}-uploader`,
    logProject: `${all}-${accountId}`,
    logstore: 'functions',
    deadLetters: `${all}-failed`,
    orchestratorErrors: `${all}-orchestrator-errors`,
    uploaderErrors: `${all}-uploader-errors`,
    runEvents: `${all}-run-events`,
    lateRuns: `${all}-late-runs`,
  };
}
