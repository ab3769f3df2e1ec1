/**
 * Holds the whole repository to the shape that test/architecture/rules.ts describes, and proves by planted faults that each
 * rule can fail.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  areaOf,
  checkLines,
  checkSources,
  checkTable,
  formatViolation,
  matches,
  parseImports,
} from './architecture/check.ts';
import { formatImportTable } from './architecture/import-table.ts';
import { AREAS, type Area, LIBRARY_FREE, LONG_FILES } from './architecture/rules.ts';

const root = join(import.meta.dirname, '..');
const HEADER = '/**\n * Owns one thing of this test and never does another.\n */\n';

/** Tracked files and those about to be, with their texts. */
function readRepository(): Map<string, string> {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const paths = list
    .split('\0')
    .filter((path) => path !== '' && statSync(join(root, path), { throwIfNoEntry: false })?.isFile());
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

const repository = readRepository();
const sources = new Map(
  [...repository].filter(([path]) => /^(controller|cni-plugin|dataplane|test\/lab|bench)\/.*\.ts$/.test(path)),
);

describe('the repository', () => {
  test('keeps to the import table, purity, names and sizes', () => {
    expect(checkSources(sources).map(formatViolation)).toEqual([]);
  });

  test('has no long line, no CR and no word for a missing noun in any text file', () => {
    expect(checkLines(repository).map(formatViolation)).toEqual([]);
  });

  test('was scanned in all its parts', () => {
    for (const part of ['controller/', 'cni-plugin/', 'dataplane/', 'test/lab/', 'bench/'])
      expect([...sources.keys()].filter((path) => path.startsWith(part)).length, part).toBeGreaterThan(0);
  });
});

describe('the table', () => {
  test('names only areas it has', () => {
    expect(checkTable()).toEqual([]);
  });

  test('has no area, exemption or entry without a file', () => {
    const empty = AREAS.filter((area) => ![...sources.keys()].some((path) => areaOf(path) === area));
    expect(empty.map(({ name }) => name)).toEqual([]);
    expect(LONG_FILES.filter(({ file }) => !sources.has(file))).toEqual([]);
    expect(LIBRARY_FREE.filter((file) => !sources.has(file))).toEqual([]);
  });

  test('lets dataplane import nothing of controller or cni-plugin', () => {
    const dataplane = AREAS.filter(({ name }) => name.startsWith('dataplane/'));
    expect(dataplane.flatMap(({ mayImport }) => mayImport).filter((name) => !name.startsWith('dataplane/'))).toEqual(
      [],
    );
  });

  test('is what docs/internals/imports.md shows', () => {
    const page = repository.get('docs/internals/imports.md') ?? '';
    const [, shown] = /^```text\n([\s\S]*?)^```$/m.exec(page) ?? [];
    const wanted = formatImportTable();
    expect(shown, `between its fences docs/internals/imports.md has to show:\n\n${wanted}`).toBe(wanted);
  });

  test('is shown with long lists over lines, and folders apart', () => {
    const names = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth'].map((name) => `a/${name}-of-the-areas`);
    const areas: Area[] = [
      { name: 'a/first', files: ['a/first.ts', 'a/first/**'], mayImport: [], pure: true },
      { name: 'b', files: ['b/**'], mayImport: names },
    ];
    expect(formatImportTable(areas).split('\n')).toEqual([
      'a/first                    pure  a/first.ts a/first/**',
      '                                 → nothing',
      '',
      'b                                b/**',
      '                                 → a/first-of-the-areas, a/second-of-the-areas, a/third-of-the-areas,',
      '                                   a/fourth-of-the-areas, a/fifth-of-the-areas, a/sixth-of-the-areas',
      '',
    ]);
  });

  test('reports an area it names and does not have', () => {
    expect(checkTable([{ name: 'a', files: ['a.ts'], mayImport: ['b'] }])).toEqual([
      'a may import b, which is no area',
    ]);
  });
});

describe('a planted fault is found', () => {
  /** [what is planted, file, its text after the header, the rule, the line] */
  const faults: readonly (readonly [string, string, string, string, number])[] = [
    [
      'dataplane imports controller',
      'dataplane/diff.ts',
      "import { x } from '../controller/model/records.ts';",
      'import',
      4,
    ],
    [
      'dataplane imports a controller type',
      'dataplane/diff.ts',
      "import type { X } from '../controller/errors.ts';",
      'import',
      4,
    ],
    [
      'dataplane re-exports cni-plugin',
      'dataplane/diff.ts',
      "export * from '../cni-plugin/agent-protocol.ts';",
      'import',
      4,
    ],
    [
      'dataplane loads the agent late',
      'dataplane/diff.ts',
      "const x = await import('../cni-plugin/agent/main.ts');",
      'import',
      4,
    ],
    [
      'the API reaches into the kernel',
      'controller/api/app.ts',
      "import '../../dataplane/system/libc.ts';",
      'import',
      4,
    ],
    ['a source imports a test', 'controller/api/app.ts', "import { lab } from '../../test/lab/main.ts';", 'import', 4],
    ['the lab imports a benchmark', 'test/lab/lab.ts', "import { time } from '../../bench/main.ts';", 'import', 4],
    ['a source imports a benchmark', 'dataplane/diff.ts', "import { time } from '../bench/main.ts';", 'import', 4],
    [
      'a worker crosses over',
      'controller/main.ts',
      "new Worker(new URL('../cni-plugin/main.ts', import.meta.url));",
      'import',
      4,
    ],
    [
      'pure code imports package.json',
      'dataplane/state.ts',
      "import p from '../package.json' with { type: 'json' };",
      'import',
      4,
    ],
    ['a file is in no area', 'dataplane/new-part/thing.ts', '', 'area', 0],
    ['the codec reads files', 'dataplane/netlink/bytes.ts', "import { readFileSync } from 'node:fs';", 'pure', 4],
    ['the model reads the clock', 'controller/model/records.ts', '\nexport const at = () => Date.now();', 'pure', 5],
    ['the model makes a date', 'controller/model/records.ts', 'export const at = () => new Date();', 'pure', 4],
    ['the desired state rolls dice', 'cni-plugin/agent/desired/links.ts', 'export const x = Math.random();', 'pure', 4],
    ['the protocol reads the environment', 'cni-plugin/protocol.ts', 'export const x = process.env;', 'pure', 4],
    ['a pure file runs an impure one', 'dataplane/state.ts', "import { x } from './kernel-dataplane.ts';", 'pure', 4],
    ['koffi outside system', 'dataplane/netlink/transport.ts', "import koffi from 'koffi';", 'single-importer', 4],
    ['koffi by require', 'dataplane/netlink/transport.ts', "const koffi = require('koffi');", 'single-importer', 4],
    ['etcd3 outside the store', 'controller/main.ts', "import { Etcd3 } from 'etcd3';", 'single-importer', 4],
    [
      'ip-num outside address',
      'controller/model/subnet.ts',
      "import { IPv4 } from 'ip-num/IPNumber';",
      'single-importer',
      4,
    ],
    ['a key taken apart', 'controller/operations/nodes.ts', "const x = key.split('/');", 'record', 4],
    [
      'a name cut out of a key',
      'cni-plugin/agent/addresses/blocks.ts',
      'const x = key.slice(keys.nodes.length);',
      'record',
      4,
    ],
    ['a stored value parsed', 'controller/operations/nodes.ts', 'const x = JSON.parse(entry.value);', 'record', 4],
    ['a record believed', 'cni-plugin/agent/addresses/blocks.ts', 'const x = y as Endpoint;', 'record', 4],
    ['an index file', 'controller/api/index.ts', '', 'file-name', 0],
    ['a file of odds and ends', 'controller/api/utils.ts', '', 'file-name', 0],
    ['a long file', 'controller/api/app.ts', 'let x;\n'.repeat(300), 'file-length', 0],
  ];

  test.each(faults)('%s', (_, file, text, rule, line) => {
    const found = checkSources(new Map([[file, `${HEADER}${text}`]]));
    expect(
      found.map((violation) => ({ rule: violation.rule, file: violation.file, line: violation.line })),
    ).toContainEqual({
      rule,
      file,
      line,
    });
  });

  test('imports that go round, if only for a type', () => {
    const found = checkSources(
      new Map([
        ['controller/operations/a.ts', `${HEADER}import { b } from './b.ts';`],
        ['controller/operations/b.ts', `${HEADER}import { c } from './c.ts';`],
        ['controller/operations/c.ts', `${HEADER}import type { A } from './a.ts';`],
        ['controller/operations/d.ts', `${HEADER}import { c } from './c.ts';`],
      ]),
    );
    const path = ['a', 'b', 'c', 'a'].map((name) => `controller/operations/${name}.ts`).join(' → ');
    expect(found).toEqual([
      { rule: 'circle', file: 'controller/operations/c.ts', line: 4, message: `closes a circle: ${path}` },
    ]);
  });

  test('the CNI binary loads a library through another file', () => {
    const found = checkSources(
      new Map([
        ['cni-plugin/main.ts', `${HEADER}import { x } from './protocol.ts';`],
        ['cni-plugin/protocol.ts', `${HEADER}import pino from 'pino';`],
      ]),
    );
    expect(found).toMatchObject([{ rule: 'library-free', file: 'cni-plugin/protocol.ts', line: 4 }]);
  });

  test.each([
    ['no comment', 'import x from "y";'],
    ['a line comment', '// Owns one thing of this test and never does another.\n'],
    ['an empty block', '/** */\n'],
  ])('a file that opens with %s', (_, text) => {
    expect(checkSources(new Map([['controller/main.ts', text]]))).toMatchObject([{ rule: 'opening-comment' }]);
  });

  test('nothing scanned', () => {
    expect(checkSources(new Map())).toMatchObject([{ rule: 'nothing-scanned' }]);
    expect(checkLines(new Map())).toMatchObject([{ rule: 'nothing-scanned' }]);
  });

  test('a line of 141 characters, a CR', () => {
    expect(checkLines(new Map([['README.md', `\n${'x'.repeat(141)}\n`]]))).toMatchObject([
      { rule: 'line-length', line: 2 },
    ]);
    expect(checkLines(new Map([['README.md', 'x\r\n']]))).toMatchObject([{ rule: 'line-ending' }]);
  });

  test('a word where a noun should be', () => {
    const lines = ['no', 'some'].map((which) => `${which}body has it`).join('\n');
    expect(checkLines(new Map([['README.md', lines]]))).toMatchObject([
      { rule: 'noun', line: 1 },
      { rule: 'noun', line: 2 },
    ]);
    expect(checkLines(new Map([['README.md', "kind: 'nobody', `nobody`\nnobody: 'unassigned'"]]))).toEqual([]);
  });
});

describe('what is allowed passes', () => {
  test('pure code may take types from impure code, and use its words in comments and names', () => {
    const text = `${HEADER}import type { KernelError } from './errors.ts';\n// not Math.random\nexport const renew = new Date(0);`;
    expect(checkSources(new Map([['dataplane/state.ts', text]]))).toEqual([]);
  });

  test('edges may import package.json', () => {
    const text = `${HEADER}import p from '../package.json' with { type: 'json' };`;
    expect(checkSources(new Map([['controller/main.ts', text]]))).toEqual([]);
  });

  test('lines of 140 characters, binary and generated files', () => {
    const long = 'x'.repeat(1000);
    const files = [
      ['a.ts', 'x'.repeat(140)],
      ['a.png', `\0${long}\r`],
      ['package-lock.json', long],
    ] as const;
    expect(checkLines(new Map(files))).toEqual([]);
  });
});

test('imports are read in every form, over lines, and never out of comments', () => {
  const text = [
    "import a, { b } from 'one';",
    'import {',
    '  type c,',
    "} from './two.ts';",
    "import type { D } from './three.ts';",
    "export * as e from 'four';",
    "import 'five';",
    "const f = await import('six'); // import('seven')",
    "/* import 'eight' */ const url = 'http://nine'; // from 'ten'",
    "export const from = Array.from('eleven');",
  ].join('\n');
  expect(parseImports(text)).toEqual([
    { specifier: 'one', line: 1, typeOnly: false },
    { specifier: './two.ts', line: 2, typeOnly: false },
    { specifier: './three.ts', line: 5, typeOnly: true },
    { specifier: 'four', line: 6, typeOnly: false },
    { specifier: 'five', line: 7, typeOnly: false },
    { specifier: 'six', line: 8, typeOnly: false },
  ]);
});

test('patterns: one star stays in its folder, two go on, braces choose', () => {
  expect(matches('a/*.ts', 'a/b.ts')).toBe(true);
  expect(matches('a/*.ts', 'a/b/c.ts')).toBe(false);
  expect(matches('a/**', 'a/b/c.ts')).toBe(true);
  expect(matches('a/{b,c}.ts', 'a/c.ts')).toBe(true);
  expect(matches('a/{b,c}.ts', 'a/dXts')).toBe(false);
});
