/**
 * Endpoints: what may be changed of one, and which of them a question is about. Everything else of an endpoint is its agent's. Pure.
 */
import { collectFaults } from './faults.ts';
import { checkLabels } from './names.ts';
import type { Endpoint, Labels } from './records.ts';

/** Absent: any. */
export interface EndpointFilter {
  readonly namespace?: string;
  readonly node?: string;
}

/** @throws InvalidInput */
export function parseEndpointLabels(labels: Labels): Labels {
  return collectFaults((fault) => {
    checkLabels(labels, 'labels', fault);
    return labels;
  });
}

export function matchesFilter(endpoint: Endpoint, { namespace, node }: EndpointFilter): boolean {
  return (namespace ?? endpoint.namespace) === endpoint.namespace && (node ?? endpoint.node) === endpoint.node;
}
