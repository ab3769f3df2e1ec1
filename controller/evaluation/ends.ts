/**
 * The ends of a question: from the name or address a caller gives to what is there. Pure.
 */
import { AddressError, type IpAddress, parseIp } from '../../dataplane/address.ts';
import { InvalidInput, NotFound } from '../errors.ts';
import type { Endpoint } from '../model/records.ts';
import type { End, WorldIndex } from './world.ts';

/** `name` is an endpoint's name, or its id. */
export interface EndpointName {
  readonly tenant: string;
  readonly namespace: string;
  readonly name: string;
}

/** An end as a caller names it. */
export type EndName = EndpointName | { readonly ip: string };

/** An end that was found, for the caller. An endpoint's `ips` are those asked about. */
export type EndView =
  | (EndpointName & {
      readonly kind: 'endpoint';
      readonly id: string;
      readonly node: string;
      readonly ips: readonly string[];
    })
  | {
      readonly kind: Exclude<End['kind'], 'endpoint'>;
      readonly ip: string;
      /** of a node or a gateway */
      readonly node?: string;
      /** of the cluster's configuration, that the address lies in */
      readonly network?: string;
    };

/**
 * @param field of the request, such as `from`
 * @throws NotFound for the first of tenant, namespace and endpoint that is not there; InvalidInput for a name that several have, or
 *   an address that is none
 */
export function findEnd(index: WorldIndex, name: EndName, field: string): End {
  if ('ip' in name) return index.endAt(parseEndIp(name.ip, `${field}.ip`));
  const inNamespace = index.world.endpoints.filter(
    ({ tenant, namespace }) => tenant === name.tenant && namespace === name.namespace,
  );
  const found = inNamespace.filter((endpoint) => endpoint.name === name.name);
  const byId = inNamespace.find(({ id }) => id === name.name);
  if (byId !== undefined) return index.endOf(byId);
  const [only, ...more] = found;
  if (only === undefined) throw whatIsMissing(index, name, field);
  if (more.length > 0) {
    const ids = found.map(({ id, node }) => `${id} on node ${node}`).sort();
    const message = `${found.length} endpoints have the name ${JSON.stringify(name.name)}: use an id instead (${ids.join(', ')})`;
    throw new InvalidInput(`${field}.name`, message);
  }
  return index.endOf(only);
}

/** @throws InvalidInput */
export function parseEndIp(text: string, field: string): IpAddress {
  try {
    return parseIp(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new InvalidInput(field, error.message);
  }
}

function whatIsMissing(index: WorldIndex, { tenant, namespace, name }: EndpointName, field: string): NotFound {
  if (index.tenant(tenant) === undefined) return new NotFound('tenant', tenant, `${field}.tenant`);
  if (index.namespaceLabels(tenant, namespace) === undefined)
    return new NotFound('namespace', namespace, `${field}.namespace`);
  return new NotFound('endpoint', name, `${field}.name`);
}

export function viewEnd(end: End): EndView {
  if (end.kind === 'endpoint') {
    const { tenant, namespace, name, id, node } = end.endpoint;
    return { kind: 'endpoint', tenant, namespace, name, id, node, ips: end.addresses };
  }
  const { kind, address: ip } = end;
  if ('node' in end) return { kind, ip, node: end.node };
  return 'network' in end ? { kind, ip, network: end.network } : { kind, ip };
}

/** `tenant/namespace/name`, or what has the address. */
export function formatEnd(end: End): string {
  switch (end.kind) {
    case 'endpoint':
      return formatEndpoint(end.endpoint);
    case 'gateway':
      return `${end.address} (gateway ${end.node})`;
    case 'node':
      return `${end.address} (node ${end.node})`;
    default:
      return end.address;
  }
}

export function formatEndpoint({ tenant, namespace, name }: Pick<Endpoint, 'tenant' | 'namespace' | 'name'>): string {
  return `${tenant}/${namespace}/${name}`;
}
