/**
 * Judges sources against rules.ts: imports, purity, single importers, names, opening comments, lengths. Works on paths and
 * texts in memory, so that planted faults can prove each rule; reads no file.
 */
import { dirname, posix } from 'node:path';
import { checkCircles } from './circles.ts';
import {
  AREAS,
  type Area,
  FILE_LINES_LIMIT,
  GENERATED,
  LIBRARY_FREE,
  LINE_LENGTH_LIMIT,
  LONG_FILES,
  NOUNLESS,
  OPEN_TO_EDGES,
  RECORD_READERS,
  RECORD_ROOMS,
  RECORD_TYPES,
  SINGLE_IMPORTERS,
} from './rules.ts';

/** Path from the root of the repository → text. */
export type Sources = ReadonlyMap<string, string>;

export interface Violation {
  readonly rule:
    | 'area'
    | 'import'
    | 'pure'
    | 'single-importer'
    | 'library-free'
    | 'circle'
    | 'record'
    | 'file-name'
    | 'opening-comment'
    | 'file-length'
    | 'line-length'
    | 'noun'
    | 'line-ending'
    | 'nothing-scanned';
  readonly file: string;
  /** 1-based; 0 for the file as a whole */
  readonly line: number;
  readonly message: string;
}

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** erased by the compiler */
  readonly typeOnly: boolean;
}

/** Text with comments blanked out, newlines kept, so that lines still count. */
function withoutComments(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(token, (found) => (found.startsWith('/') ? found.replace(/[^\n]/g, ' ') : found));
}

/** Every static, re-exporting, dynamic and `require` import with a literal name, and workers named by `new URL`. */
export function parseImports(text: string): Import[] {
  const code = withoutComments(text);
  const forms = [
    /\b(?:import|export)\s+(?<type>type\s+(?=[\w*{]))?(?:[\w*{][^'"`;]*?\bfrom\s*)?['"](?<name>[^'"]+)['"]/g,
    /\b(?:import|require)\s*\(\s*['"](?<name>[^'"]+)['"]/g,
    /\bnew URL\(\s*['"](?<name>\.[^'"]+\.[tj]s)['"]\s*,\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) =>
    [...code.matchAll(form)].map((match) => ({
      specifier: match.groups?.name ?? '',
      line: lineAt(code, match.index),
      typeOnly: match.groups?.type !== undefined,
    })),
  );
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** `{a,b}` alternatives, `**` and `*`. */
export function matches(pattern: string, path: string): boolean {
  const source = pattern
    .replace(/[.+^$()|[\]\\]/g, '\\$&')
    .replace(/\{([^}]*)\}/g, (_, options: string) => `(?:${options.replaceAll(',', '|')})`)
    .replace(/\*\*|\*/g, (star) => (star === '**' ? '.*' : '[^/]*'));
  return new RegExp(`^${source}$`).test(path);
}

const matchesAny = (patterns: readonly string[], path: string) => patterns.some((pattern) => matches(pattern, path));

export function areaOf(path: string, areas: readonly Area[] = AREAS): Area | undefined {
  return areas.find((area) => matchesAny(area.files, path));
}

/** Path that a relative import names. */
const resolve = (file: string, specifier: string) => posix.normalize(posix.join(dirname(file), specifier));
const isRelative = (specifier: string) => specifier.startsWith('.');
/** `@scope/name/deep` and `name/deep` → the package. */
const packageOf = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

function checkImports(file: string, text: string, areas: readonly Area[]): Violation[] {
  const own = areaOf(file, areas);
  if (own === undefined)
    return [{ rule: 'area', file, line: 0, message: 'is in no area of test/architecture/rules.ts' }];
  return parseImports(text)
    .filter(({ specifier }) => isRelative(specifier))
    .flatMap(({ specifier, line }): Violation[] => {
      const target = resolve(file, specifier);
      const area = areaOf(target, areas);
      if (own.pure !== true && OPEN_TO_EDGES.includes(target)) return [];
      const allowed = area !== undefined && (area === own || matchesAny(own.mayImport, area.name));
      if (allowed) return [];
      const where = area === undefined ? 'which is in no area' : `of ${area.name}`;
      return [{ rule: 'import', file, line, message: `${own.name} may not import ${target}, ${where}` }];
    });
}

/** What makes code depend on when, where and how often it runs. */
const IMPURE =
  /\bDate\.now\b|\bnew Date\(\s*\)|\bMath\.random\b|\bprocess\.|\bperformance\.|\bcrypto\.|\bset(?:Timeout|Interval|Immediate)\b/g;

function checkPurity(file: string, text: string, areas: readonly Area[]): Violation[] {
  const own = areaOf(file, areas);
  if (own?.pure !== true) return [];
  const imports = parseImports(text);
  const violation = (line: number, message: string): Violation => ({ rule: 'pure', file, line, message });
  const modules = imports
    .filter(({ specifier }) => specifier.startsWith('node:'))
    .map(({ specifier, line }) => violation(line, `pure code may not import ${specifier}`));
  const neighbours = imports
    .filter(({ specifier, typeOnly }) => isRelative(specifier) && !typeOnly)
    .filter(({ specifier }) => areaOf(resolve(file, specifier), areas)?.pure !== true)
    .map(({ specifier, line }) => violation(line, `pure code may import ${specifier} for its types only`));
  const code = withoutComments(text);
  const uses = [...code.matchAll(IMPURE)].map((match) =>
    violation(lineAt(code, match.index), `pure code may not use ${match[0]}`),
  );
  return [...modules, ...neighbours, ...uses];
}

function checkSingleImporters(file: string, text: string): Violation[] {
  return parseImports(text).flatMap(({ specifier, line }): Violation[] => {
    const rule = SINGLE_IMPORTERS.find(({ library }) => library === packageOf(specifier));
    if (rule === undefined || matchesAny(rule.files, file)) return [];
    const message = `only ${rule.files.join(', ')} may import ${rule.library}: ${rule.why}`;
    return [{ rule: 'single-importer', file, line, message }];
  });
}

/** Follows run-time imports from each entry; every library on the way is at fault. */
function checkLibraryFree(sources: Sources): Violation[] {
  const reached = new Set<string>(LIBRARY_FREE.filter((entry) => sources.has(entry)));
  const found: Violation[] = [];
  for (const file of reached) {
    for (const { specifier, line, typeOnly } of parseImports(sources.get(file) ?? '')) {
      if (typeOnly || specifier.startsWith('node:')) continue;
      if (isRelative(specifier)) reached.add(resolve(file, specifier));
      else found.push({ rule: 'library-free', file, line, message: `the CNI binary may not load ${specifier}` });
    }
  }
  return found;
}

/** Keys taken apart, stored values parsed, records believed: what files of one kind each are for. */
const RECORD_HANDLING: readonly (readonly [RegExp, string])[] = [
  [
    /\b(?:key|Key)\.(?:split|slice|substring|lastIndexOf|indexOf|endsWith|match)\(|\.slice\(keys\./g,
    'takes a key apart',
  ],
  [/\bJSON\.parse\([^()]*\bvalue\b/g, 'parses a stored value'],
  [new RegExp(`\\bas (?:unknown as )?(?:${RECORD_TYPES.join('|')})\\b`, 'g'), 'casts a record'],
];

function checkRecords(file: string, text: string): Violation[] {
  if (!matchesAny(RECORD_READERS, file) || matchesAny(RECORD_ROOMS, file)) return [];
  const code = withoutComments(text);
  return RECORD_HANDLING.flatMap(([pattern, what]) =>
    [...code.matchAll(pattern)].map((match): Violation => {
      const message = `${what} (${match[0]}): that is for ${RECORD_ROOMS.join(', ')}`;
      return { rule: 'record', file, line: lineAt(code, match.index), message };
    }),
  );
}

function checkFile(file: string, text: string): Violation[] {
  const found: Violation[] = [];
  const violation = (rule: Violation['rule'], message: string) => found.push({ rule, file, line: 0, message });
  if (/(^|\/)(index|utils?|helpers?|misc)\.ts$/.test(file)) violation('file-name', 'is named for no subject');
  if (!/^(#![^\n]*\n)?\/\*\*[\s\S]{40,}?\*\//.test(text))
    violation('opening-comment', 'does not open with a block comment that says what it owns');
  const lines = text.split('\n').length - 1;
  const isLong = LONG_FILES.some((long) => long.file === file);
  if (lines > FILE_LINES_LIMIT && !isLong)
    violation('file-length', `has ${lines} lines; split it, or say in LONG_FILES why it is better whole`);
  if (lines <= FILE_LINES_LIMIT && isLong) violation('file-length', 'is short again: remove it from LONG_FILES');
  return found;
}

/** Judges the sources of controller, cni-plugin, dataplane, the lab and the benchmarks. */
export function checkSources(sources: Sources, areas: readonly Area[] = AREAS): Violation[] {
  if (sources.size === 0) return [{ rule: 'nothing-scanned', file: '', line: 0, message: 'no source file was found' }];
  const perFile = [...sources].flatMap(([file, text]) => [
    ...checkImports(file, text, areas),
    ...checkPurity(file, text, areas),
    ...checkSingleImporters(file, text),
    ...checkRecords(file, text),
    ...checkFile(file, text),
  ]);
  const importsOf = (file: string, text: string) =>
    parseImports(text)
      .filter(({ specifier }) => isRelative(specifier))
      .map(({ specifier, line }) => ({ target: resolve(file, specifier), line }));
  return [...perFile, ...checkLibraryFree(sources), ...checkCircles(sources, importsOf)];
}

/** Judges the lines of every text file of the repository; binary files (with a NUL) are passed over. */
export function checkLines(files: Sources): Violation[] {
  if (files.size === 0) return [{ rule: 'nothing-scanned', file: '', line: 0, message: 'no tracked file was found' }];
  return [...files]
    .filter(([file, text]) => !GENERATED.includes(file) && !text.includes('\0'))
    .flatMap(([file, text]) => [
      ...(text.includes('\r')
        ? [{ rule: 'line-ending', file, line: 0, message: 'has a CR: lines end in LF' } as const]
        : []),
      ...text.split('\n').flatMap((line, index) => {
        const where = { file, line: index + 1 };
        const [word] = (file !== 'LICENSE' && NOUNLESS.exec(line)) || [];
        return [
          ...(line.length > LINE_LENGTH_LIMIT
            ? [{ rule: 'line-length', ...where, message: `has ${line.length} characters` } as const]
            : []),
          ...(word === undefined
            ? []
            : [{ rule: 'noun', ...where, message: `says "${word}": name the noun` } as const]),
        ];
      }),
    ]);
}

/** Areas that the table names and does not have. */
export function checkTable(areas: readonly Area[] = AREAS): string[] {
  return areas.flatMap((area) =>
    area.mayImport.flatMap((name) => {
      const named = areas.filter((other) => matches(name, other.name));
      if (named.length === 0) return [`${area.name} may import ${name}, which is no area`];
      return [];
    }),
  );
}

/** One line for a person. */
export function formatViolation({ rule, file, line, message }: Violation): string {
  return `${file}${line > 0 ? `:${line}` : ''} ${message} [${rule}]`;
}
