import { costsOf, type Fleet, type Size } from '../../infra/costs.ts';
import { costTable } from '../../infra/cost-table.ts';

const size: Size = { cpu: 0.5, memoryMb: 512, diskMb: 512, timeoutSeconds: 3600 };
const fleet: Fleet = {
  instances: 100,
  concurrency: 10,
  gbPerBackup: 2,
  backupSeconds: 315,
  mbPerSecond: 50,
  requestsPerInstance: 40,
  nightsKept: 30,
};

describe('the costs of a month', () => {
  it('are those of a calculation by hand', () => {
    const costs = costsOf(fleet, { orchestrator: size, uploader: size });

    // 2000 MB at 50 MB/s are 40 s, and 5 s besides; ten waves of 315 + 45 s.
    expect(costs.runSeconds).toBe(3600);
    // 0.5 vCPU + 0.5 GB × 0.15 + 0.5 GB × 0.05 = 0.6 units a second. 100 uploads of 45 s are kept 60 s longer: 10,500 s are
    // 6,300 units, the invocations 0.75, rounded up in each of two hours: at most 6,303, at 0.00011 for 30 nights.
    expect(costs.uploader).toBeCloseTo(6303 * 0.00011 * 30, 6);
    // 3,660 s are 2,196 units; one invocation; two hours.
    expect(costs.orchestrator).toBeCloseTo(2199 * 0.00011 * 30, 6);
    // 4,000 requests a night at 0.01 for 10,000.
    expect(costs.requests).toBeCloseTo(0.004 * 30, 6);
    // 200 GB a night, 30 of them at 0.12.
    expect(costs.storage).toBeCloseTo(6000 * 0.12, 6);
    expect(costs.total).toBeCloseTo(costs.uploader + costs.orchestrator + costs.requests + costs.storage, 6);
  });

  it('are at least a hundredth of a CNY for each hour of the clock in which a function is at work', () => {
    const costs = costsOf(
      { ...fleet, instances: 1, gbPerBackup: 0.001, backupSeconds: 10 },
      { orchestrator: size, uploader: size },
    );

    expect(costs.orchestrator).toBeCloseTo(2 * 0.01 * 30, 6);
    expect(costs.uploader).toBeCloseTo(2 * 0.01 * 30, 6);
  });

  it('count each invocation that an orchestrator hands over to', () => {
    const [once, often] = [3600, 600].map((timeoutSeconds) =>
      costsOf(fleet, { orchestrator: { ...size, timeoutSeconds }, uploader: size }),
    );

    // Six invocations instead of one: five more that are kept for a minute.
    expect((often?.orchestrator ?? 0) - (once?.orchestrator ?? 0)).toBeCloseTo(
      5 * 60 * 0.6 * 0.00011 * 30,
      2,
    );
  });

  it('stand in the table for the sizes of the deployment', () => {
    const deployment = (cpu: number): string => `resources:
  orchestrator: { props: { cpu: ${cpu}, memorySize: 1024, diskSize: 512, timeout: 3600 } }
  uploader: { props: { cpu: 0.5, memorySize: 512, diskSize: 512, timeout: 86400 } }`;
    const page = 'before\n<!-- made: costs -->\nold\n<!-- end -->\nafter';
    const rowOf = (table: string): string | undefined => /^\| orchestrator \|.*$/m.exec(table)?.[0];

    const table = costTable(page, deployment(0.25));
    expect(table).toMatch(
      /^before\n<!-- made: costs -->\n\| CNY a month \| 10 instances .*\n<!-- end -->\nafter$/s,
    );
    expect(rowOf(table)).not.toEqual(rowOf(costTable(page, deployment(1))));
    expect(() => costTable('no place for it', deployment(1))).toThrow('are missing');
  });
});
