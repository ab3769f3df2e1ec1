/**
 * Endpoints: what may be changed of one, and which of them a question is about. Everything else of an endpoint is its agent's. Pure.
 */
import { collectFaults } from './faults.ts';
import { checkLabels, checkPortName, isPort, MAX_PORTS, portMeaning } from './names.ts';
import type { Endpoint, Labels, NamedPort } from './records.ts';

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

/** One name may mean one port of each protocol. @throws InvalidInput */
export function parseEndpointPorts(ports: readonly NamedPort[]): NamedPort[] {
  return collectFaults((fault) => {
    const seen = new Set<string>();
    if (ports.length > MAX_PORTS) fault('ports', `has ${ports.length} ports; at most ${MAX_PORTS} are allowed`);
    for (const [index, { name, containerPort, protocol }] of ports.entries()) {
      const key = portMeaning({ name, protocol });
      checkPortName(name, `ports[${index}].name`, fault);
      if (seen.has(key)) fault(`ports[${index}].name`, `names another ${protocol} port already`);
      if (!isPort(containerPort)) fault(`ports[${index}].containerPort`, 'must be 1 to 65535');
      seen.add(key);
    }
    return ports.map(({ name, containerPort, protocol }) => ({ name, containerPort, protocol }));
  });
}

export function matchesFilter(endpoint: Endpoint, { namespace, node }: EndpointFilter): boolean {
  return (namespace ?? endpoint.namespace) === endpoint.namespace && (node ?? endpoint.node) === endpoint.node;
}
