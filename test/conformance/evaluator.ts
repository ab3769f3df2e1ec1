/** What the product's evaluator says of a scene as it is: the other opinion, to hold against truths and against packets. */
import { decide, isAllowed } from '../../controller/evaluation/decide.ts';
import { type End, type World, WorldIndex } from '../../controller/evaluation/world.ts';
import { newCluster } from '../../controller/model/cluster.ts';
import { parseNamespace } from '../../controller/model/namespace.ts';
import { parsePolicy } from '../../controller/model/policy.ts';
import type { Endpoint, Tenant } from '../../controller/model/records.ts';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { PEER, TENANT, TENANTS, tenantOf } from './cast.ts';
import type { Actor, Scene } from './scene.ts';
import type { Truth } from './truth.ts';

/** Of dates nothing depends on. */
const CREATED_AT = '2026-01-01T00:00:00Z';

/** @throws InvalidInput for a policy that admission would refuse */
export function evaluatorsTruth(scene: Scene): Truth {
  const endpoints = new Map([...scene.actors].map(([name, actor]) => [name, toEndpoint(scene, name, actor)]));
  const index = new WorldIndex(worldOf(scene, [...endpoints.values()]));
  const endOf = (name: string): End => {
    const endpoint = endpoints.get(name);
    return endpoint === undefined ? index.endAt(parseIp(scene.addressOf(name))) : index.endOf(endpoint);
  };
  return ({ from, to, protocol, port }) => isAllowed(decide(index, endOf(from), endOf(to), { protocol, port }));
}

function worldOf(scene: Scene, endpoints: readonly Endpoint[]): World {
  return {
    cluster: newCluster({}),
    tenants: TENANTS.map((name) => toTenant(scene, name)),
    namespaces: [...scene.namespaces].map(([name, labels]) => parseNamespace(tenantOf(name), name, labels)),
    endpoints,
    policies: [...scene.policies].map(([where, spec]) => {
      const [namespace = '', name = ''] = where.split(':');
      const tenant = tenantOf(namespace);
      return { tenant, namespace, name, createdAt: CREATED_AT, ...parsePolicy(tenant, namespace, name, spec) };
    }),
    peerings: [...scene.asked].map((side) =>
      side === 'own' ? { tenant: TENANT, peer: PEER } : { tenant: PEER, peer: TENANT },
    ),
    nodes: scene.lab.hosts.map(({ name, underlay }) => ({ name, underlay: parseIp(underlay) })),
    blocks: [],
  };
}

function toTenant(scene: Scene, name: string): Tenant {
  return {
    name,
    vni: TENANTS.indexOf(name) + 2,
    subnets: name === TENANT ? [parsePrefix(scene.places.subnet)] : [],
    namespaces: [],
    labels: {},
    quota: {},
    egress: { internet: true },
    ingress: { gateways: true },
    phase: 'active',
    createdAt: CREATED_AT,
  };
}

function toEndpoint(scene: Scene, name: string, { container, endpoint }: Actor): Endpoint {
  const [namespace = '', pod = ''] = name.split('/');
  return {
    id: endpoint,
    tenant: tenantOf(namespace),
    namespace,
    name: pod,
    node: container.host.name,
    ips: [parseIp(container.ip)],
    mac: parseMac(container.mac),
    labels: scene.labelsOf(name),
    ports: scene.portsOf(name).map((port) => ({ protocol: 'TCP', ...port })),
    containerId: container.id,
    ifname: container.ifname,
    createdAt: CREATED_AT,
  };
}
