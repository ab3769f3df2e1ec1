/** The pictures of a part as one SVG: its charts one below the other, lines over the scale or bars. Pure. */
import { formatCount, formatValue } from './format.ts';
import type { Chart, ComparedFigure, Part, Report } from './result.ts';

const WIDTH = 860;
/** Lines: the frame the curves are in, and where their names stand. */
const LINES = { left: 80, right: 300, top: 44, height: 330, bottom: 56 } as const;
/** Bars: names left, values right of them. */
const BARS = { left: 270, right: 190, top: 50, row: 20, gap: 12, heading: 22 } as const;
const FONT = 13;
/** Tenet's bars are green, those of others are not. */
const OURS = { name: /^Tenet/, colours: ['#0b6e4f', '#5cb894'] } as const;
const OTHERS = ['#c8553d', '#3d5a98', '#b07aa1', '#c9a227', '#8c8c8c', '#5f4b32'] as const;

/** A part of the picture: its height, and its contents from (0, 0). */
interface Panel {
  readonly height: number;
  readonly content: readonly string[];
}

/** All charts of the part that the report has figures for. */
export function plotReport(part: Part, report: Report): string {
  const subjects = [...new Set(report.figures.map(({ subject }) => subject))];
  const colours = new Map([
    ...giveColours(subjects.filter(isOurs), OURS.colours),
    ...giveColours(
      subjects.filter((name) => !isOurs(name)),
      OTHERS,
    ),
  ]);
  const panels = part.charts.flatMap((chart) => {
    const figures = report.figures.filter(({ operation }) => chart.operations.includes(operation));
    if (figures.length === 0) return [];
    return [
      chart.kind === 'lines' ? drawLines(chart, part, figures, colours) : drawBars(chart, part, figures, colours),
    ];
  });
  const height = panels.reduce((sum, panel) => sum + panel.height, 0);
  let y = 0;
  const placed = panels.flatMap((panel) => {
    const group = [`<g transform="translate(0 ${y})">`, ...panel.content, '</g>'];
    y += panel.height;
    return group;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`,
    ` font-family="Helvetica, Arial, sans-serif" font-size="${FONT}">`,
    `<title>${escapeXml(part.title)}</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...placed,
    '</svg>',
    '',
  ].join('\n');
}

type Colours = ReadonlyMap<string, string>;

const isOurs = (subject: string): boolean => OURS.name.test(subject);

function giveColours(subjects: readonly string[], colours: readonly string[]): (readonly [string, string])[] {
  return subjects.map((name, index) => [name, colours[index % colours.length] ?? '#000000']);
}

function drawLines(chart: Chart, part: Part, figures: readonly ComparedFigure[], colours: Colours): Panel {
  const { left, top } = LINES;
  const right = WIDTH - LINES.right;
  const bottom = top + LINES.height;
  const unit = figures[0]?.unit ?? 'µs';
  const x = logScale(
    figures.map(({ scale }) => scale),
    [left + 12, right - 12],
  );
  const y = logScale(
    figures.map(({ value }) => value),
    [bottom, top],
  );
  const names = [...new Set(figures.map(({ subject }) => subject))];
  const series = names.map((name) => {
    const own = figures.filter(({ subject }) => subject === name).sort((a, b) => a.scale - b.scale);
    return { name, points: own.map(({ scale, value }) => [x.at(scale), y.at(value)] as const) };
  });
  const labels = spread(series.map(({ points }) => points.at(-1)?.[1] ?? bottom));
  return {
    height: bottom + LINES.bottom,
    content: [
      heading(chart.title),
      ...y.ticks.flatMap((tick) => [
        rule(left, right, y.at(tick)),
        text(left - 8, y.at(tick) + 4, formatValue(tick, unit).replace(/\.0+(?= )/, ''), { anchor: 'end' }),
      ]),
      ...x.ticks.map((tick) => text(x.at(tick), bottom + 20, formatCount(tick), { anchor: 'middle' })),
      text((left + right) / 2, bottom + 42, part.scale, { anchor: 'middle' }),
      ...series.flatMap(({ name, points }, index) => {
        const fill = colours.get(name) ?? '#000000';
        const [endX, endY] = points.at(-1) ?? [right, bottom];
        const labelY = labels[index] ?? endY;
        return [
          `<polyline fill="none" stroke="${fill}" stroke-width="2" points="${points.map((point) => point.join()).join(' ')}"/>`,
          ...points.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${fill}"/>`),
          `<line x1="${endX + 5}" y1="${endY}" x2="${right + 14}" y2="${labelY}" stroke="${fill}" stroke-width="0.7"/>`,
          text(right + 18, labelY + 4, name, { fill }),
        ];
      }),
    ],
  };
}

function drawBars(chart: Chart, part: Part, figures: readonly ComparedFigure[], colours: Colours): Panel {
  const length = barScale(
    figures.map(({ value }) => value),
    chart.log === true,
    WIDTH - BARS.left - BARS.right,
  );
  const groups = new Map<string, ComparedFigure[]>();
  for (const figure of figures) {
    const title = `${figure.operation}, ${formatCount(figure.scale)} ${part.scale}`;
    groups.set(title, [...(groups.get(title) ?? []), figure]);
  }
  const content = [heading(chart.log === true ? `${chart.title} (logarithmic)` : chart.title)];
  let y: number = BARS.top;
  for (const [title, own] of groups) {
    content.push(text(16, y + 12, title, { bold: true }));
    y += BARS.heading;
    for (const { subject, value, p95, unit } of own) {
      const width = length(value);
      const fill = colours.get(subject) ?? '#000000';
      content.push(
        text(BARS.left - 8, y + 13, subject, { anchor: 'end' }),
        `<rect x="${BARS.left}" y="${y + 1}" width="${width}" height="${BARS.row - 4}" fill="${fill}"/>`,
        text(BARS.left + width + 6, y + 13, `${formatValue(value, unit)}  (p95 ${formatValue(p95, unit)})`),
      );
      y += BARS.row;
    }
    y += BARS.gap;
  }
  return { height: y + 12, content };
}

/** @returns length of a bar in pixels; a logarithmic one begins a power of ten below the smallest */
function barScale(values: readonly number[], isLog: boolean, width: number): (value: number) => number {
  const most = Math.max(...values);
  const low = Math.floor(Math.log10(Math.min(...values)) - 0.3);
  const share = (value: number) => (isLog ? (Math.log10(value) - low) / (Math.log10(most) - low) : value / most);
  return (value) => Math.max(1, Math.round(share(value) * width));
}

/** Whole powers of ten around the values. @param range places of the smallest and the largest */
function logScale(values: readonly number[], [from, to]: readonly [number, number]) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const at = (value: number): number => Math.round(from + ((Math.log10(value) - low) / (high - low)) * (to - from));
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step)) };
}

/** Moves labels that would cover each other apart, keeping their order. @param places wanted, from the top */
function spread(places: readonly number[]): number[] {
  const order = places.map((_, index) => index).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0));
  const spaced = new Map<number, number>();
  let free = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    const place = Math.max(places[index] ?? 0, free);
    spaced.set(index, place);
    free = place + FONT + 4;
  }
  // What was pushed down too far as a row goes up again by half of it.
  const shift = Math.max(0, ...places.map((place, index) => (spaced.get(index) ?? place) - place)) / 2;
  return places.map((place, index) => {
    const moved = spaced.get(index) ?? place;
    return Math.round(moved > place ? moved - Math.min(shift, moved - place) : moved);
  });
}

const heading = (content: string): string => text(16, 26, content, { bold: true, size: 16 });

function rule(from: number, to: number, y: number): string {
  return `<line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="#dddddd"/>`;
}

interface TextStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly fill?: string;
  readonly bold?: boolean;
  readonly size?: number;
}

function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { anchor = 'start', fill = '#222222', bold = false, size = FONT } = style;
  const weight = bold ? ' font-weight="bold"' : '';
  const place = `x="${Math.round(x)}" y="${Math.round(y)}" text-anchor="${anchor}"`;
  // Titles are long, and lines of this repository are not.
  return `<text ${place}\n fill="${fill}" font-size="${size}"${weight}>${escapeXml(content)}</text>`;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
