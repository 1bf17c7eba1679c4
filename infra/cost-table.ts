/** The table of docs/deploy.md that says what a month costs. */
import { parse } from 'yaml';
import { between } from './between.ts';
import { USD_SHARE, costsOf, type Costs, type Fleet, type Size, type Sizes } from './costs.ts';
import { markdownTable } from './markdown-table.ts';

const SAME = {
  gbPerBackup: 2,
  backupSeconds: 300,
  mbPerSecond: 50,
  requestsPerInstance: 42,
  nightsKept: 30,
} as const;

/** As the page says. */
export const FLEETS: readonly Fleet[] = [
  { ...SAME, instances: 10, concurrency: 10 },
  { ...SAME, instances: 100, concurrency: 10 },
  { ...SAME, instances: 1000, concurrency: 50 },
];

const MARKS = { from: '<!-- made: costs -->', to: '<!-- end -->' };

/** The page with its table made anew, for the sizes that `s.yaml` has. */
export function costTable(page: string, deployment: string): string {
  const sizes = sizesIn(deployment);
  const columns = FLEETS.map((fleet) => ({ fleet, costs: costsOf(fleet, sizes) }));
  const row = (what: string, cell: (costs: Costs, fleet: Fleet) => string): string[] => [
    what,
    ...columns.map(({ fleet, costs }) => cell(costs, fleet)),
  ];
  const cny =
    (amount: (costs: Costs) => number): ((costs: Costs) => string) =>
    (costs) =>
      money(amount(costs));
  const compute = ({ orchestrator, uploader }: Costs): number => orchestrator + uploader;
  const rows = [
    row('at the same time (`rate.concurrency`)', (_costs, { concurrency }) => String(concurrency)),
    row('a run takes', ({ runSeconds }) => duration(runSeconds)),
    row(
      'orchestrator',
      cny(({ orchestrator }) => orchestrator),
    ),
    row(
      'uploader',
      cny(({ uploader }) => uploader),
    ),
    row(
      'requests to OSS',
      cny(({ requests }) => requests),
    ),
    row(
      'storage of the last 30 nights',
      cny(({ storage }) => storage),
    ),
    row(
      '**CNY a month**',
      cny(({ total }) => total),
    ).map((cell) => (cell.startsWith('**') ? cell : `**${cell}**`)),
    row('of it without storage, for one instance', (costs, { instances }) =>
      money((costs.total - costs.storage) / instances),
    ),
    row('USD a month, at the prices of the international site', (costs) =>
      money((compute(costs) + costs.requests) * USD_SHARE.compute + costs.storage * USD_SHARE.storage),
    ),
  ];
  const head = [
    'CNY a month',
    ...FLEETS.map(({ instances }) => `${instances.toLocaleString('en')} instances`),
  ];
  return between(page, MARKS, markdownTable(head, rows));
}

/** Before anything is filled in: sizes are plain numbers. */
export function sizesIn(deployment: string): Sizes {
  const { resources } = parse(deployment) as {
    resources: Record<
      'orchestrator' | 'uploader',
      { props: { cpu: number; memorySize: number; diskSize: number; timeout: number } }
    >;
  }; // our own file
  const sizeOf = ({ props }: (typeof resources)['uploader']): Size => ({
    cpu: props.cpu,
    memoryMb: props.memorySize,
    diskMb: props.diskSize,
    timeoutSeconds: props.timeout,
  });
  return { orchestrator: sizeOf(resources.orchestrator), uploader: sizeOf(resources.uploader) };
}

function money(amount: number): string {
  return amount < 10 ? amount.toFixed(2) : Math.round(amount).toLocaleString('en');
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
