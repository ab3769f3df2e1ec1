/**
 * Endpoints on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { Endpoint } from '../../model/records.ts';
import type { Stored } from '../../operations/stored.ts';
import { Labels, Revision, TenantParams } from './common.ts';
import { EnforcementField } from './enforcement.ts';

export const EndpointParams = Type.Object({
  ...TenantParams.properties,
  id: Type.String({ pattern: '^[0-9a-f]{12}$', description: "the endpoint's id", examples: ['3f9c01ab77d2'] }),
});

export const LabelsBody = Type.Object(
  { labels: Labels },
  { additionalProperties: false, examples: [{ labels: { app: 'web' } }] },
);

const Protocol = Type.Unsafe<'TCP' | 'UDP' | 'SCTP'>({ type: 'string', enum: ['TCP', 'UDP', 'SCTP'] });

const NamedPort = Type.Object({ name: Type.String(), containerPort: Type.Integer(), protocol: Protocol });

export const PortsBody = Type.Object(
  {
    ports: Type.Array(
      Type.Object(
        {
          name: Type.String({ description: 'up to 15 lower-case letters, digits and hyphens', examples: ['http'] }),
          containerPort: Type.Integer({ examples: [8080] }),
          protocol: Type.Optional(Type.Unsafe<'TCP' | 'UDP' | 'SCTP'>({ ...Protocol, description: 'TCP by default' })),
        },
        { additionalProperties: false },
      ),
    ),
  },
  {
    additionalProperties: false,
    examples: [{ ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] }],
  },
);

export const EndpointView = Type.Object(
  {
    id: Type.String({ examples: ['3f9c01ab77d2'] }),
    tenant: Type.String(),
    namespace: Type.String(),
    name: Type.String({ description: "the pod's name; without a pod, the container's id" }),
    node: Type.String(),
    ips: Type.Array(Type.String({ examples: ['10.128.4.17'] })),
    mac: Type.String({ examples: ['0a:58:0a:80:04:11'] }),
    labels: Labels,
    ports: Type.Array(NamedPort),
    containerId: Type.String(),
    ifname: Type.String({ examples: ['eth0'] }),
    createdAt: Type.String({ format: 'date-time' }),
    revision: Revision,
    status: EnforcementField,
  },
  { $id: 'Endpoint', description: 'one network interface of a container' },
);

export function viewEndpoint({ record, revision }: Stored<Endpoint>): object {
  const { id, tenant, namespace, name, node, ips, mac, labels, ports, containerId, ifname, createdAt } = record;
  return { id, tenant, namespace, name, node, ips, mac, labels, ports, containerId, ifname, createdAt, revision };
}
