/** The page that a folder of saved results is looked at on: every target, then each part's plot and what it was measured on. Pure. */
import type { Report } from './result.ts';

/** A saved part. */
export interface SavedPart {
  readonly title: string;
  readonly report: Report;
}

/** @returns Markdown; names PART.svg and PART.json beside it */
export function formatResultsPage(parts: readonly SavedPart[]): string {
  const targets = parts.flatMap(({ report }) => report.targets.map((target) => ({ part: report.part, ...target })));
  const met = targets.filter((target) => target.met).length;
  const paragraphs = [
    '# Results',
    'Written by `npm run bench -- --save`: medians of one run, peers in turns.',
    'What is measured and how, and what the JSON files hold, is in [bench/README.md](../README.md).',
    `## Targets: ${met} of ${targets.length} met`,
    table(
      ['part', 'target', 'wanted', 'measured', ''],
      targets.map(({ part, what, wanted, measured, met }) => [
        part,
        what,
        wanted,
        measured,
        met ? 'met' : '**missed**',
      ]),
    ),
    ...parts.flatMap(({ title, report }) => [`## ${report.part}: ${title}`, ...partSection(report)]),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

function partSection({ part, machine, tools, skipped, quick, at, seconds }: Report): string[] {
  const facts = [
    `${at.slice(0, 10)}, ${quick ? 'a quick run of ' : ''}${Math.round(seconds)} s`,
    `${machine.cpu}, ${machine.cores} cores (load ${machine.load}), Linux ${machine.kernel}, Node ${machine.node.slice(1)}`,
    `commit ${machine.commit}`,
    ...Object.entries(tools).map(([name, version]) => `${name} ${version}`),
    `[all figures](${part}.json)`,
  ];
  return [
    `![${part}](${part}.svg)`,
    facts.map((fact) => `- ${fact}`).join('\n'),
    ...skipped.map((what) => `Left out: ${what}`),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
