/**
 * Nodes, as their agents register them. From one that cannot be read no VXLAN packet is taken, and none is sent to it. Pure.
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf } from './kind.ts';
import { Ip, Mac, Prefix } from './shapes.ts';

export type NodeRole = 'manage' | 'compute' | 'gateway';

export const Node = Type.Object({
  name: Type.String(),
  /** address other nodes' VXLAN packets go to and come from */
  underlay: Ip,
  /** its link's own network: closed to its containers. Absent in records of older agents. */
  underlaySubnet: Type.Optional(Prefix),
  underlayMac: Mac,
  /** a role that this version does not know means nothing to it */
  roles: Type.Array(Type.Unsafe<NodeRole>(Type.String())),
  version: Type.String(),
});
export type Node = RecordOf<typeof Node>;

export const nodes = new Kind({
  name: 'node',
  prefix: 'nodes/',
  form: names('name'),
  schema: Node,
  version: 1,
});

/** Gateways and manage nodes follow every tenant. */
export function followsAllTenants({ roles }: Pick<Node, 'roles'>): boolean {
  return roles.some((role) => role === 'gateway' || role === 'manage');
}

/** That a node's agent is alive: held by its lease. The key alone counts. */
export const liveNodes = new Kind({
  name: 'live',
  prefix: 'live/',
  form: names('node'),
  schema: Type.Object({}),
  version: 1,
});
