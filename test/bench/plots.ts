/** Line plots as SVG, written by hand: readable on light and dark pages, and small enough to be looked at in a diff. */
import { METHOD } from './methods.ts';
import type { GrowthPoint } from './results.ts';

export interface Panel {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly xText: string }[];
}

/** Two panels beside each other, throughput and memory, over what `xOf` says. */
export function plotGrowth(
  points: readonly GrowthPoint[],
  xLabel: string,
  xOf: (point: GrowthPoint) => { readonly x: number; readonly xText: string },
): string {
  const methods = [...new Set(points.map(({ method }) => method))];
  const seriesOf = (yOf: (point: GrowthPoint) => number | undefined): readonly Series[] =>
    methods.map((method) => ({
      name: METHOD[method].says,
      points: points.flatMap((point) => {
        const y = yOf(point);
        return point.method !== method || y === undefined ? [] : [{ ...xOf(point), y }];
      }),
    }));
  return plot([
    { title: 'Throughput', xLabel, yLabel: 'MB/s', series: seriesOf(({ mbPerSecond }) => mbPerSecond) },
    { title: 'Peak resident memory', xLabel, yLabel: 'MB', series: seriesOf(({ peakRssMb }) => peakRssMb) },
  ]);
}

const WIDTH = 420;
const HEIGHT = 300;
const MARGIN = { top: 40, right: 20, bottom: 50, left: 56 };
const LEGEND_HEIGHT = 34;
const Y_TICKS = 5;
const STYLE = `
  .page { fill: #ffffff } text { font: 12px sans-serif; fill: #1f2328 } .title { font-size: 14px; font-weight: 600 }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .line { fill: none; stroke-width: 2 }
  .s0 { stroke: #0969da; fill: #0969da } .s1 { stroke: #bc4c00; fill: #bc4c00 } .s2 { stroke: #59636e; fill: #59636e }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .grid { stroke: #3d444d }
    .s0 { stroke: #4493f8; fill: #4493f8 } .s1 { stroke: #f0883e; fill: #f0883e } .s2 { stroke: #9198a1; fill: #9198a1 }
  }
  .line.s0, .line.s1, .line.s2 { fill: none }
`;

/** The x axis is logarithmic to the base of 2, the y axis begins at zero. */
export function plot(panels: readonly Panel[]): string {
  const width = WIDTH * panels.length;
  const height = HEIGHT + LEGEND_HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(panels.map(({ title, xLabel }) => `${title} against ${xLabel}`).join('; '))}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    ...panels.map((panel, n) => `<g transform="translate(${n * WIDTH} 0)">\n${panelOf(panel)}\n</g>`),
    ...(panels[0]?.series ?? []).map(legendOf),
    '</svg>\n',
  ].join('\n');
}

function panelOf({ title, xLabel, yLabel, series }: Panel): string {
  const all = series.flatMap(({ points }) => points);
  const xs = [...new Map(all.map(({ x, xText }) => [x, xText])).entries()].sort(([a], [b]) => a - b);
  const top = niceCeiling(Math.max(1, ...all.map(({ y }) => y)));
  const [first = 1] = xs[0] ?? [];
  const [last = first] = xs.at(-1) ?? [];
  const span = Math.log2(last / first) || 1;
  const toX = (x: number): number =>
    round(MARGIN.left + (Math.log2(x / first) / span) * (WIDTH - MARGIN.left - MARGIN.right));
  const toY = (y: number): number =>
    round(HEIGHT - MARGIN.bottom - (y / top) * (HEIGHT - MARGIN.top - MARGIN.bottom));
  const ticks = Array.from({ length: Y_TICKS + 1 }, (_, n) => (top / Y_TICKS) * n);
  return [
    `<text class="title" x="${MARGIN.left}" y="22">${escape(title)}, ${escape(yLabel)}</text>`,
    ...ticks.map(
      (tick) =>
        `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${toY(tick)}" y2="${toY(tick)}"/>` +
        `<text x="${MARGIN.left - 6}" y="${toY(tick) + 4}" text-anchor="end">${round(tick)}</text>`,
    ),
    ...xs.map(
      ([x, text]) =>
        `<text x="${toX(x)}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">${escape(text)}</text>`,
    ),
    `<text x="${(WIDTH + MARGIN.left) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escape(xLabel)}</text>`,
    ...series.map(({ points }, n) => {
      const places = points.map(({ x, y }) => [toX(x), toY(y)] as const);
      const line = places.map((place) => place.join(',')).join(' ');
      const dots = places.map(([x, y]) => `<circle class="s${n}" cx="${x}" cy="${y}" r="3"/>`).join('');
      return `<polyline class="line s${n}" points="${line}"/>${dots}`;
    }),
  ].join('\n');
}

function legendOf({ name }: Series, n: number): string {
  const x = MARGIN.left + n * 230;
  const y = HEIGHT + LEGEND_HEIGHT / 2;
  return `<circle class="s${n}" cx="${x}" cy="${y - 4}" r="5"/><text x="${x + 12}" y="${y}">${escape(name)}</text>`;
}

/** The next 1, 2 or 5 times a power of ten. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

const round = (value: number): number => Number(value.toFixed(1));

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
