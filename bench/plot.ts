/** One SVG of a report: median time over what is there already, a line for each subject, both scales logarithmic. Pure. */
import type { Figure, Report } from './result.ts';

const SIZE = { width: 720, height: 420, left: 70, right: 250, top: 40, bottom: 50 } as const;
const COLOURS = ['#0b6e4f', '#c8553d', '#3d5a98', '#8a5a9e', '#8c8c8c'] as const;

/** @param operation whose figures are drawn */
export function plotReport(title: string, report: Report, operation: string): string {
  const figures = report.figures.filter((figure) => figure.operation === operation);
  const x = logScale(
    figures.map(({ existing }) => existing),
    [SIZE.left, SIZE.width - SIZE.right],
  );
  const y = logScale(
    figures.map(({ medianUs }) => medianUs),
    [SIZE.height - SIZE.bottom, SIZE.top],
  );
  const names = [...new Set(figures.map(({ subject }) => subject))];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE.width} ${SIZE.height}" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)} (${operation})</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    text(SIZE.left, 22, `${title} (${operation})`),
    ...x.ticks.map((tick) => text(x.at(tick), SIZE.height - SIZE.bottom + 20, tick.toLocaleString('en'), 'middle')),
    text((SIZE.left + SIZE.width - SIZE.right) / 2, SIZE.height - 10, 'rules or elements already there', 'middle'),
    ...y.ticks.flatMap((tick) => [
      `<line x1="${SIZE.left}" x2="${SIZE.width - SIZE.right}" y1="${y.at(tick)}" y2="${y.at(tick)}" stroke="#dddddd"/>`,
      text(SIZE.left - 8, y.at(tick) + 4, tick < 1000 ? `${tick} µs` : `${tick / 1000} ms`, 'end'),
    ]),
    ...names.flatMap((name, index) => {
      const own = figures.filter(({ subject }) => subject === name);
      return series(own, name, COLOURS[index % COLOURS.length] ?? '#000000', x.at, y.at);
    }),
    '</svg>',
    '',
  ].join('\n');
}

type Place = (value: number) => number;

function series(figures: readonly Figure[], name: string, colour: string, x: Place, y: Place): string[] {
  const points = figures.map(({ existing, medianUs }) => [x(existing), y(medianUs)] as const);
  const [endX, endY] = points.at(-1) ?? [0, 0];
  return [
    `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map((point) => point.join()).join(' ')}"/>`,
    ...points.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`),
    text(endX + 10, endY + 4, name, 'start', colour),
  ];
}

/** Whole powers of ten around the values. @param range places of the smallest and the largest */
function logScale(values: readonly number[], [from, to]: readonly [number, number]) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const at: Place = (value) => Math.round(from + ((Math.log10(value) - low) / (high - low)) * (to - from));
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step)) };
}

function text(x: number, y: number, content: string, anchor = 'start', fill = '#222222'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${fill}">${escapeXml(content)}</text>`;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
