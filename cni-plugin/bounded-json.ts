/**
 * JSON from outside, looked over before it is parsed: a parsed value takes a hundred times the memory of its text where the text is
 * nothing but brackets, and a deep one takes a stack besides. Pure.
 */

/** Levels of lists and objects in each other. What runtimes send has fewer than ten. */
export const JSON_DEPTH_LIMIT = 64;
/** Lists, objects and what is in them. A GC's list of 100,000 containers has 300,000. */
export const JSON_VALUES_LIMIT = 1_000_000;

/** It would make more than is parsed; `message` says of what, such as `nested deeper than 64 levels`. */
export class TooMuchJson extends Error {
  readonly code = 'too_much_json';
}

/** @throws TooMuchJson, SyntaxError */
export function parseBoundedJson(text: string): unknown {
  checkAmount(text);
  return JSON.parse(text);
}

/** Counts brackets and commas outside of strings; whether they fit together is JSON.parse's to say. */
function checkAmount(text: string): void {
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPENING_BRACKET:
      case OPENING_BRACE:
        values++;
        depth++;
        break;
      case CLOSING_BRACKET:
      case CLOSING_BRACE:
        depth--;
        break;
      case COMMA:
        values++;
        break;
    }
    if (depth > JSON_DEPTH_LIMIT) throw new TooMuchJson(`nested deeper than ${JSON_DEPTH_LIMIT} levels`);
    if (values > JSON_VALUES_LIMIT) throw new TooMuchJson(`more than ${JSON_VALUES_LIMIT} values`);
  }
}

/** Where the string that begins at `at` ends: at its quote, or with the text. */
function endOfString(text: string, at: number): number {
  for (let index = at + 1; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) return index;
    if (code === BACKSLASH) index++;
  }
  return text.length;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
