/**
 * Bodies in YAML, for routes that take what Kubernetes' tools write. One document, each key once; what it says is the route's to judge.
 */
import type { FastifyInstance } from 'fastify';
import { type Document, isAlias, LineCounter, parseAllDocuments, visit } from 'yaml';
import { InvalidInput } from '../errors.ts';

/** RFC 9512, and what clients sent before it. */
export const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml'];

/** Uses of anchors in one body, and what they may stand for together: more is no policy but an attack. */
const MAX_ALIASES = 100;

/** Where `app` takes JSON, it takes YAML as well. */
export function acceptYaml(app: FastifyInstance): void {
  app.addContentTypeParser(YAML_TYPES, { parseAs: 'string' }, async (_: unknown, text: string) => parseYaml(text));
}

/** @throws InvalidInput naming the line */
export function parseYaml(text: string): unknown {
  const lines = new LineCounter();
  const [document, second, ...more] = parseDocuments(text, lines);
  if (second !== undefined)
    throw fault(lineOf(second, lines), `begins another document, of ${more.length + 2}: send one`);
  if (document === undefined) return undefined;
  // The first one: what follows it is often only its consequence.
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong !== undefined) {
    const { line } = lines.linePos(wrong.pos[0]);
    throw wrong.code === 'RESOURCE_EXHAUSTION' ? tooDeep(line) : fault(line, wrong.message.split('\n', 1)[0] ?? '');
  }
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof ReferenceError)
      throw fault(aliasLine(document, lines), 'aliases stand for too much, or for nothing');
    throw error instanceof RangeError ? tooDeep(1) : error;
  }
}

function parseDocuments(text: string, lineCounter: LineCounter): readonly Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false, logLevel: 'silent' });
    return Array.isArray(documents) ? documents : [];
  } catch (error) {
    throw error instanceof RangeError ? tooDeep(1) : error;
  }
}

/** The parser goes down as far as the text does. */
function tooDeep(line: number): InvalidInput {
  return fault(line, 'begins something that is nested too deeply');
}

function fault(line: number, message: string): InvalidInput {
  return new InvalidInput('body', `line ${line}: ${message}`);
}

function lineOf(document: Document.Parsed, lines: LineCounter): number {
  return lines.linePos(document.range[0]).line;
}

/** Of the first alias. */
function aliasLine(document: Document.Parsed, lines: LineCounter): number {
  let line = 1;
  visit(document, {
    Node: (_, node) => {
      if (!isAlias(node)) return undefined;
      line = lines.linePos(node.range?.[0] ?? 0).line;
      return visit.BREAK;
    },
  });
  return line;
}
