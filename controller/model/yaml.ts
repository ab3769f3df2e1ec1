/**
 * YAML as Tenet takes it from its callers: each key once, keys and values as JSON has them, and bounded before anything is built of
 * it. The library's own ways of finding a repeated key, resolving an alias and listing faults take time that grows with the square of
 * the text, or much memory for each fault; what is done here grows with the text alone. Pure.
 */
import {
  Composer,
  CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type YAMLMap,
} from 'yaml';

/** What a text may hold at most. */
export interface YamlBounds {
  readonly documents: number;
  /** keys, values and list items of all documents, those that aliases stand for included */
  readonly nodes: number;
  /** lists and maps inside each other */
  readonly depth: number;
}

/** What is wrong with a text: the first thing, for what follows is often only its consequence. */
export class YamlFault extends Error {
  readonly code = 'invalid_yaml';
  /** 1 and up */
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** Comments, line ends and white space with nothing between them: the parser looks through all of them again for each. */
const MAX_BLANKS = 2000;

/** `%YAML`, `%TAG`: of these, too, there are never many. */
const MAX_DIRECTIVES = 10;

/** @returns each document as JSON would have it; null for an empty one @throws YamlFault */
export function parseYamlDocuments(text: string, bounds: YamlBounds): unknown[] {
  const lines = new LineCounter();
  const tokens = readTokens(text, lines, bounds);
  const composer = new Composer({ prettyErrors: false, uniqueKeys: false });
  // Its own would collect the faults: of some texts as many as there are characters, each with the trace of a stack.
  let first: YamlFault | undefined;
  const onError = (
    source: number | readonly [number, ...number[]] | { readonly offset: number },
    _: string,
    message: string,
  ) => {
    const offset = typeof source === 'number' ? source : 'offset' in source ? source.offset : source[0];
    // It may be asked again about a list or map that could not be composed because of this.
    first ??= new YamlFault(lines.linePos(offset).line, message);
    throw first;
  };
  Object.assign(composer, { onError });
  const conversion = new Conversion(lines, bounds);
  return [...composer.compose(tokens)].map(({ contents }) => conversion.convert(contents));
}

/** Tokens that begin a node, or stand for one that is left out. */
const NODES: ReadonlySet<CST.TokenType | null> = new Set([
  'scalar',
  'single-quoted-scalar',
  'double-quoted-scalar',
  'block-scalar-header',
  'alias',
  'flow-map-start',
  'flow-seq-start',
  'seq-item-ind',
  'map-value-ind',
  'explicit-key-ind',
  'comma',
] as const);

const BLANKS: ReadonlySet<CST.TokenType | null> = new Set(['space', 'newline', 'comment'] as const);

/** The text's tokens, all of which keep to the bounds: nothing is built before that is known. @throws YamlFault */
function readTokens(text: string, lines: LineCounter, bounds: YamlBounds): CST.Token[] {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const refuse = (message: string, offset = parser.offset) => new YamlFault(lines.linePos(offset).line, message);
  const tokens: CST.Token[] = [];
  let [documents, directives, nodes, blanks] = [0, 0, 0, 0];
  const take = (made: Iterable<CST.Token>) => {
    for (const token of made) {
      if (token.type === 'error') throw refuse(token.message, token.offset);
      if (token.type === 'document' && ++documents > bounds.documents)
        throw refuse(`begins another document, of at most ${bounds.documents}`, token.offset);
      if (token.type === 'directive' && ++directives > MAX_DIRECTIVES)
        throw refuse(`has another directive, of at most ${MAX_DIRECTIVES}`);
      tokens.push(token);
    }
  };
  // The text of a plain or block scalar comes behind a token that announces it.
  let isText = false;
  for (const lexeme of new Lexer().lex(text)) {
    const type: CST.TokenType | null = isText ? null : CST.tokenType(lexeme);
    isText = type === 'scalar';
    if (NODES.has(type) && ++nodes > bounds.nodes) throw refuse(tooMany(bounds));
    blanks = BLANKS.has(type) ? blanks + 1 : 0;
    if (blanks > MAX_BLANKS) throw refuse(`more than ${MAX_BLANKS} comments, line ends and blanks in a row`);
    take(parser.next(lexeme));
    // The document itself is one, and a scalar may be on top.
    const { stack } = parser;
    if (stack.length > bounds.depth + 1 && 'items' in (stack.at(-1) ?? {}))
      throw refuse(`lists and maps nested more than ${bounds.depth} deep`);
  }
  take(parser.end());
  return tokens;
}

const tooMany = ({ nodes }: YamlBounds) => `more than ${nodes} keys, values and list items`;

/** What an anchor stands for, and how many nodes that is. */
interface Anchored {
  readonly value: unknown;
  readonly nodes: number;
}

/** From nodes to values, in the order of the text: an alias stands for the latest anchor of its name. */
class Conversion {
  readonly #lines: LineCounter;
  readonly #bounds: YamlBounds;
  #nodes = 0;
  #anchors = new Map<string, Anchored>();

  constructor(lines: LineCounter, bounds: YamlBounds) {
    this.#lines = lines;
    this.#bounds = bounds;
  }

  /** One document. @throws YamlFault */
  convert(contents: Node | null): unknown {
    this.#anchors = new Map();
    return this.#convert(contents);
  }

  #convert(node: Node | null): unknown {
    if (isAlias(node)) {
      const found = this.#anchors.get(node.source);
      if (found === undefined) throw this.#fault(node, `*${node.source} stands for nothing`);
      this.#count(node, found.nodes);
      return found.value;
    }
    const before = this.#nodes;
    this.#count(node, 1);
    const anchor = node?.anchor;
    if (anchor === undefined) return this.#convertOwn(node);
    // Inside of it, its name stands for itself already.
    this.#anchors.delete(anchor);
    const value = this.#convertOwn(node);
    this.#anchors.set(anchor, { value, nodes: this.#nodes - before });
    return value;
  }

  #convertOwn(node: Node | null): unknown {
    if (isMap<Node, Node | null>(node)) return this.#convertMap(node);
    if (isSeq<Node>(node)) return node.items.map((item) => this.#convert(item));
    const value: unknown = isScalar(node) ? node.value : null;
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
    throw this.#fault(node, 'neither text, nor a number, nor true or false');
  }

  #convertMap({ items }: YAMLMap<Node, Node | null>): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    for (const { key, value } of items) {
      const name = this.#convert(key);
      if (typeof name === 'object' && name !== null) throw this.#fault(key, 'a list or a map cannot be a key');
      const text = String(name ?? '');
      if (entries.has(text)) throw this.#fault(key, `the key ${JSON.stringify(text)} is there already`);
      entries.set(text, this.#convert(value));
    }
    return Object.fromEntries(entries);
  }

  #count(node: Node | null, nodes: number): void {
    this.#nodes += nodes;
    if (this.#nodes > this.#bounds.nodes)
      throw this.#fault(node, `${tooMany(this.#bounds)}, with what aliases stand for`);
  }

  #fault(node: Node | null, message: string): YamlFault {
    return new YamlFault(this.#lines.linePos(node?.range?.[0] ?? 0).line, message);
  }
}
