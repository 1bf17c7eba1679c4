/** The short form of `npm run fleet`: as many instances as the time of the tests allows. */
import { runFleet, type FleetReport } from '../fleet/run-fleet.ts';

const INSTANCES = 60;

describe('a fleet in two accounts and three regions, clusters among it, throttled, its orchestrator killed three times', () => {
  let report: FleetReport;
  beforeAll(async () => {
    report = await runFleet({ instances: INSTANCES, concurrency: 40, kills: 3 });
  }, 180_000);

  it('ends in exactly one backup of each instance, say the bucket and the service', () => {
    expect(report.objections).toEqual([]);
    expect(report).toMatchObject({ status: 'succeeded', stored: INSTANCES, kills: 3 });
  });

  it('is refused calls on the way, and needs fewer than ten of each service for an instance', () => {
    expect(report.throttled).toBeGreaterThan(0);
    expect(report.perInstance.tair).toBeLessThan(10);
    expect(report.perInstance.tair + report.perInstance.fc).toBeLessThan(12);
    // A page has fifty of a region and an account; looks at single ones share requests.
    expect(report.calls['tair']?.['DescribeInstances']).toBeLessThan(INSTANCES);
  });

  it('costs an invocation of the orchestrator for each kill and hand-over, and little memory', () => {
    expect(report.invocations.orchestrator).toBe(1 + report.kills + report.handOvers);
    expect(report.orchestratorPeakMb).toBeLessThan(256);
  });
});
