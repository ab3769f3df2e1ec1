/**
 * Bodies in YAML, for routes that take what Kubernetes' tools write. One document, each key once; what it says is the route's to judge.
 */
import type { FastifyInstance } from 'fastify';
import { InvalidInput } from '../errors.ts';
import { parseYamlDocuments, YamlFault } from '../model/yaml.ts';

/** RFC 9512, and what clients sent before it. */
export const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml'];

/**
 * The largest body of policies as people and their tools write them holds some 50,000 nodes: 6,000 peers or 8,000 ports, of one line
 * a field. The deepest, `spec.ingress[].from[].podSelector.matchExpressions[].values[]`, goes down ten lists and maps.
 */
const BOUNDS = { documents: 1, nodes: 60_000, depth: 32 };

/** Where `app` takes JSON, it takes YAML as well. */
export function acceptYaml(app: FastifyInstance): void {
  app.addContentTypeParser(YAML_TYPES, { parseAs: 'string' }, async (_: unknown, text: string) => parseYaml(text));
}

/** @throws InvalidInput naming the line, and the bound that the body passes */
export function parseYaml(text: string): unknown {
  try {
    return parseYamlDocuments(text, BOUNDS)[0];
  } catch (error) {
    if (error instanceof YamlFault) throw new InvalidInput('body', `line ${error.line}: ${error.message}`);
    throw error;
  }
}
