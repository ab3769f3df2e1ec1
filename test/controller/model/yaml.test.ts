/** YAML as callers send it: what is taken, each bound to the last node, and that the work grows with the text alone. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Composer, parse } from 'yaml';
import { parseYamlDocuments, YamlFault } from '../../../controller/model/yaml.ts';

const BOUNDS = { documents: 1, nodes: 1000, depth: 8 };

const read = (text: string, bounds: Partial<typeof BOUNDS> = {}) => parseYamlDocuments(text, { ...BOUNDS, ...bounds });

/** `line N: what is wrong` */
function faultOf(text: string, bounds: Partial<typeof BOUNDS> = {}): string {
  try {
    read(text, bounds);
  } catch (error) {
    if (error instanceof YamlFault) return `line ${error.line}: ${error.message}`;
    throw error;
  }
  return 'none';
}

const lines = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

afterEach(() => vi.restoreAllMocks());

describe('is read as the library reads it:', () => {
  test.each([
    [
      'a policy',
      'kind: NetworkPolicy\nspec:\n  podSelector: {}\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/8}\n',
    ],
    ['scalars of all kinds', 'a: 1\nb: "1"\nc: true\nd: ~\ne:\nf: 1.5\ng: no\nh: 0x10\n'],
    [
      'texts of all kinds',
      "a: |\n  one\n  two\nb: >-\n  three\n  four\nc: 'it''s'\nd: \"\\u00e4\\n\"\ne: plain\n  text\n",
    ],
    ['text that looks like something else', 'a: "- [{"\nb: |\n  - [{: ,,\n'],
    ['JSON', '{"a": [1, {"b": null}], "c": "\\ud83d\\ude00"}'],
    ['keys that are no text', '1: a\ntrue: b\n~: c\n'],
    ['comments', '# one\na: 1 # two\n# three\nb: 2\n'],
    ['a key of the language', '__proto__: 1\nconstructor: 2\n'],
    ['anchors and aliases', 'a: &x {b: 1}\nc: *x\nd: &x [2]\ne: *x\n'],
    ['an alias as a key', 'a: &x key\n*x : 1\n'],
    ['an explicit document', '%YAML 1.2\n---\na: 1\n...\n'],
    ['nothing', '# soon\n---\n'],
  ])('%s', (_, text) => {
    expect(read(text)).toEqual([parse(text)]);
  });

  test('several documents, an anchor for each alone', () => {
    expect(read('a: 1\n---\n---\n- b\n', { documents: 3 })).toEqual([{ a: 1 }, null, ['b']]);
    expect(faultOf('- &a 1\n---\n- *a\n', { documents: 2 })).toBe('line 3: *a stands for nothing');
    expect(read('')).toEqual([]);
  });
});

describe('is refused with its line:', () => {
  test.each<[string, string, string]>([
    ['a key twice', 'a: 1\nb:\n  c: 1\n  c: 2\n', 'line 4: the key "c" is there already'],
    ['a key twice, as text and as a number', '{1: a,\n"1": b}', 'line 2: the key "1" is there already'],
    ['a key that is a map', 'a: 1\n? {b: 1}\n: 2\n', 'line 2: a list or a map cannot be a key'],
    ['a key that stands for a list', 'a: &a [b]\n*a : 2\n', 'line 2: a list or a map cannot be a key'],
    ['an alias of nothing', 'a: &a 1\nb: *b\n', 'line 2: *b stands for nothing'],
    ['an alias of what it is in', 'a: &a\n- *a\n', 'line 2: *a stands for nothing'],
    [
      'an alias of what it is in, whatever had its name before',
      'a: &a 1\nb: &a [*a]\n',
      'line 2: *a stands for nothing',
    ],
    ['another document', 'a: 1\n---\nb: 1\n', 'line 2: begins another document, of at most 1'],
    ['a tag of its own', 'a: 1\nb: !own {}\n', 'line 2: Unresolved tag: !own'],
    ['bytes', '%YAML 1.1\n---\na: !!binary aGk=\n', 'line 3: neither text, nor a number, nor true or false'],
    ['what is broken', 'a: {\nb: [\n', 'line 2: '],
    ['what no list can be closed by', 'a: 1\n]\n', 'line 2: '],
    ['the first of many faults', `a: 1\nb: "${'\\q'.repeat(5000)}"\n`, 'line 2: Invalid escape sequence \\q'],
    [
      'many directives',
      `${'%TAG ! tag:x,2026:\n'.repeat(11)}---\na: 1\n`,
      'line 11: has another directive, of at most 10',
    ],
    ['a heap of blank lines', `a: 1\n${'\n'.repeat(3000)}b: 2\n`, 'line 2001: more than 2000 comments, line ends and'],
  ])('%s', (_, text, fault) => {
    expect(faultOf(text)).toContain(fault);
  });
});

describe('a bound holds to the last:', () => {
  test('depth, of blocks and of what is in brackets', () => {
    const block = (depth: number) => lines(depth, (i) => `${' '.repeat(i)}a:${i === depth - 1 ? ' 1' : ''}`);
    for (const make of [block, (depth: number) => `${'['.repeat(depth)}1${']'.repeat(depth)}`]) {
      expect(faultOf(make(8))).toBe('none');
      expect(faultOf(make(9))).toMatch(/^line [19]: lists and maps nested more than 8 deep$/);
    }
    expect(faultOf('['.repeat(100_000))).toBe('line 1: lists and maps nested more than 8 deep');
  });

  test('nodes: keys, values and list items', () => {
    const ports = (count: number) => `ports:\n${lines(count, (i) => `- ${i}`)}\n`;
    // Of the first line, the key and what is behind it.
    expect(faultOf(ports(49), { nodes: 100 })).toBe('none');
    expect(faultOf(ports(50), { nodes: 100 })).toBe('line 51: more than 100 keys, values and list items');
  });

  test('nodes that aliases stand for', () => {
    const list = `a: &a [${'x, '.repeat(20)}]\nb:\n`;
    expect(faultOf(`${list}${'- *a\n'.repeat(3)}`, { nodes: 100 })).toBe('none');
    expect(faultOf(`${list}${'- *a\n'.repeat(5)}`, { nodes: 100 })).toBe(
      'line 6: more than 100 keys, values and list items, with what aliases stand for',
    );
    const levels = lines(30, (i) => (i === 0 ? '- &a0 [x, x]' : `- &a${i} [*a${i - 1}, *a${i - 1}]`));
    expect(faultOf(levels, { nodes: 100_000 })).toMatch(/^line 15: more than 100000/);
  });
});

describe('work grows with the text alone:', () => {
  test('nothing is built of a text that passes a bound', () => {
    const build = vi.spyOn(Composer.prototype, 'next');
    expect(faultOf(lines(10_000, (i) => `k${i}: 1`))).toBe('line 334: more than 1000 keys, values and list items');
    expect(build).not.toHaveBeenCalled();
  });

  test('keys are not compared with each other', () => {
    const { some } = Array.prototype;
    let compared = 0;
    vi.spyOn(Array.prototype, 'some').mockImplementation(function (this: unknown[], holds) {
      return some.call(this, (...each) => {
        compared++;
        return holds(...each);
      });
    });
    const count = 2000;
    const [value] = read(
      lines(count, (i) => `k${i}: 1`),
      { nodes: 10_000 },
    );
    expect(Object.keys(value as object)).toHaveLength(count);
    expect(compared).toBeLessThan(count);
  });
});
