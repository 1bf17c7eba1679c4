/** The alarms look for what the functions really say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLog } from '../../functions/core/log.ts';
import { logEnd } from '../../functions/orchestrator/tell-end.ts';

interface Alarms {
  readonly LateRuns: {
    readonly Properties: {
      readonly Detail: {
        readonly Configuration: {
          readonly QueryList: readonly { readonly Query: string; readonly Start: string }[];
        };
      };
    };
  };
  readonly RunEvents: {
    readonly Properties: { readonly EventPattern: readonly { readonly NameList: readonly string[] }[] };
  };
}

const ROOT = join(__dirname, '..', '..');
const { Resources } = JSON.parse(readFileSync(join(ROOT, 'infra', 'template.json'), 'utf8')) as {
  readonly Resources: Alarms;
};
const [late] = Resources.LateRuns.Properties.Detail.Configuration.QueryList;

/** The line of a run that ended so, as it arrives in the logs: what the runtime puts before it is an assumption. */
function lineOf(status: 'succeeded' | 'partial'): string {
  const lines: string[] = [];
  const summary = {
    runId: `20261120T180000Z-${'a-long-name-'.repeat(5)}`,
    plan: 'a-long-name-'.repeat(5),
    status,
    startedAt: '2026-11-20T18:00:00.000Z',
    finishedAt: '2026-11-20T19:00:00.000Z',
    counts: { selected: 1, stored: 1, skipped: 0, failed: 0 },
    instances: [],
  };
  logEnd(summary, createLog((line) => void lines.push(line)).with({ requestId: '1'.repeat(40) }));
  return `2026-11-20T19:00:00.000Z ${'1'.repeat(40)} [INFO] ${lines[0] ?? ''}`;
}

/** Of the query of the alarm, the part that compares text; only the beginning of a field is compared. */
function finds(line: string): boolean {
  const patterns = [...(late?.Query ?? '').matchAll(/like '%(.+?)%'/g)].map(([, text = '']) => text);
  return patterns.length > 1 && patterns.every((text) => line.slice(0, 1024).includes(text));
}

describe('the alarm on runs that did not happen', () => {
  it('finds the line of a run that ended well, and of no other', () => {
    expect([finds(lineOf('succeeded')), finds(lineOf('partial'))]).toEqual([true, false]);
  });

  it('looks back no further than the service allows', () => {
    expect(late?.Start).toBe('-24h');
  });
});

describe('the alarm on events', () => {
  it('knows the names of all that are raised', () => {
    const code = readFileSync(join(ROOT, 'functions', 'core', 'events.ts'), 'utf8');
    const names = [...code.matchAll(/'(tairlift:[\w-]+)'/g)].map(([, name]) => name);

    expect(Resources.RunEvents.Properties.EventPattern[0]?.NameList).toEqual(names);
  });
});
