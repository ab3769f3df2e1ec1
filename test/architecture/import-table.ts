/**
 * The areas of rules.ts as text, as docs/internals/imports.md shows them: of each its name, whether it is pure, its files, and what it
 * may import. Pure.
 */
import { AREAS, type Area } from './rules.ts';

/** Characters of a line; a single word may be longer. */
const WIDTH = 120;
/** Where a column ends: names, then the word `pure`. */
const COLUMN_END = { name: 27, pure: 33 } as const;
const INDENT = ' '.repeat(COLUMN_END.pure);
const ARROW = '→ ';

/** @returns lines that each end in a newline; an empty one parts areas of different top-level folders */
export function formatImportTable(areas: readonly Area[] = AREAS): string {
  const lines = areas.flatMap((area, index) => {
    const isFirstOfFolder = index > 0 && folderOf(area) !== folderOf(areas[index - 1]);
    return isFirstOfFolder ? ['', ...formatArea(area)] : formatArea(area);
  });
  return lines.map((line) => `${line}\n`).join('');
}

function formatArea({ name, files, mayImport, pure }: Area): string[] {
  const head = `${name.padEnd(COLUMN_END.name)}${pure === true ? 'pure' : ''}`.padEnd(COLUMN_END.pure);
  const imports = mayImport.length === 0 ? ['nothing'] : separated(mayImport);
  const more = ' '.repeat(ARROW.length);
  const ofFiles = fill(files, WIDTH - INDENT.length);
  const ofImports = fill(imports, WIDTH - INDENT.length - ARROW.length);
  return [
    ...ofFiles.map((line, index) => `${index === 0 ? head : INDENT}${line}`),
    ...ofImports.map((line, index) => `${INDENT}${index === 0 ? ARROW : more}${line}`),
  ];
}

/** A comma behind each word but the last. */
function separated(words: readonly string[]): string[] {
  return words.map((word, index) => (index < words.length - 1 ? `${word},` : word));
}

/** Words in lines of at most `width` characters, as many in each as fit. */
function fill(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function folderOf(area: Area | undefined): string | undefined {
  return area?.files[0]?.split('/')[0];
}
