/** What is parsed and what is not, and that it is parsed as ever. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JSON_DEPTH_LIMIT, JSON_VALUES_LIMIT, parseBoundedJson, TooMuchJson } from '../../cni-plugin/bounded-json.ts';

const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;

test('whatever is written is read back', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      const text = JSON.stringify(value);
      expect(parseBoundedJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

test('text that is no JSON is a SyntaxError, however it ends', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', ',', ':', '1') }), (text) => {
      const read = (parse: (text: string) => unknown) => {
        try {
          return parse(text);
        } catch (error) {
          return String(error);
        }
      };
      expect(read(parseBoundedJson)).toEqual(read(JSON.parse));
    }),
  );
});

test('levels are counted up to the limit, and not in strings', () => {
  expect(() => parseBoundedJson(nested(JSON_DEPTH_LIMIT))).not.toThrow();
  expect(() => parseBoundedJson(nested(JSON_DEPTH_LIMIT + 2))).toThrow(TooMuchJson);
  const brackets = '['.repeat(10 * JSON_DEPTH_LIMIT);
  expect(parseBoundedJson(JSON.stringify([`${brackets}"\\`, brackets]))).toEqual([`${brackets}"\\`, brackets]);
});

test('values are counted up to the limit', () => {
  expect(parseBoundedJson(`[${'0,'.repeat(JSON_VALUES_LIMIT - 1)}0]`)).toHaveLength(JSON_VALUES_LIMIT);
  expect(() => parseBoundedJson(`[${'0,'.repeat(JSON_VALUES_LIMIT)}0]`)).toThrow(TooMuchJson);
});
