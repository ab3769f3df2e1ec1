/**
 * The source ports of what pods send beyond the cluster: parsed, and held against what else of the node has ports. While a pod's flow has
 * one, packets of its destination to that port are the pod's: nothing of the node may listen there or be handed it. Pure.
 */

/** Both ends included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Above what Linux hands out unless told otherwise, and so above NodePorts. */
export const DEFAULT_MASQUERADE_PORTS = '61000-65535';
/** One destination's flows of a whole node: fewer would be met every day. */
const LEAST_PORTS = 256;
const FIRST_UNPRIVILEGED = 1024;
const VXLAN_PORT = 4789;
/** kube-apiserver's default of --service-node-port-range */
const NODE_PORTS: PortRange = { from: 30_000, to: 32_767 };
/** TCP_LISTEN, and TCP_CLOSE as which UDP sockets that are bound are listed. @see include/net/tcp_states.h */
const BOUND_STATES = { tcp: '0A', udp: '07' } as const;

/** @param text such as `61000-65535` @throws RangeError saying what is wrong with it */
export function parseMasqueradePorts(text: string): PortRange {
  const [, from = 0, to = 0] = (/^(\d{1,5})-(\d{1,5})$/.exec(text) ?? []).map(Number);
  const range = { from, to };
  if (from === 0 || to > 65_535 || from > to) throw new RangeError('a range of ports looks like 61000-65535');
  if (from < FIRST_UNPRIVILEGED) throw new RangeError(`ports below ${FIRST_UNPRIVILEGED} are services’, not pods’`);
  if (holds(range, VXLAN_PORT)) throw new RangeError(`the nodes’ own VXLAN has port ${VXLAN_PORT}`);
  if (to - from + 1 < LEAST_PORTS) throw new RangeError(`at least ${LEAST_PORTS} ports, not ${to - from + 1}`);
  return range;
}

/** Files of the node's own network namespace, as text. */
export interface NodePorts {
  /** /proc/sys/net/ipv4/ip_local_port_range */
  readonly localRange: string;
  /** /proc/sys/net/ipv4/ip_local_reserved_ports */
  readonly reserved: string;
  /** /proc/net/tcp and tcp6; /proc/net/udp and udp6 */
  readonly sockets: { readonly tcp: readonly string[]; readonly udp: readonly string[] };
}

/** What else of the node has, or may be given, ports of the range: a sentence for each, with the way out. */
export function portConflicts(range: PortRange, { localRange, reserved, sockets }: NodePorts): readonly string[] {
  const name = `${range.from}-${range.to}`;
  const [from = 0, to = 0] = localRange.trim().split(/\s+/).map(Number);
  const kept = reserved.trim().split(',').filter(Boolean).map(parseReserved);
  const first = Math.max(range.from, from);
  const last = Math.min(range.to, to);
  const isHandedOut = (port: number) => !kept.some((each) => holds(each, port));
  const found: string[] = [];
  if (anyPort(first, last, isHandedOut))
    found.push(
      `programs of this node are given ports ${first}-${last} of --masquerade-ports ${name}: ` +
        `set net.ipv4.ip_local_reserved_ports=${name}, or net.ipv4.ip_local_port_range apart from it`,
    );
  if (range.from <= NODE_PORTS.to && range.to >= NODE_PORTS.from)
    found.push(`--masquerade-ports ${name} has NodePorts (${NODE_PORTS.from}-${NODE_PORTS.to}) in it`);
  for (const protocol of ['tcp', 'udp'] as const) {
    const ports = new Set(sockets[protocol].flatMap((listed) => boundPorts(listed, BOUND_STATES[protocol])));
    for (const port of [...ports].filter((each) => holds(range, each)).sort((a, b) => a - b))
      found.push(`a program of this node listens on ${protocol} port ${port}, which is in --masquerade-ports ${name}`);
  }
  return found;
}

function holds({ from, to }: PortRange, port: number): boolean {
  return from <= port && port <= to;
}

function anyPort(first: number, last: number, test: (port: number) => boolean): boolean {
  for (let port = first; port <= last; port++) if (test(port)) return true;
  return false;
}

function parseReserved(text: string): PortRange {
  const [from = 0, to = from] = text.split('-').map(Number);
  return { from, to };
}

/** @param listed lines as `0: 0100007F:1F90 00000000:0000 0A …` @see proc(5), /proc/net/tcp */
function boundPorts(listed: string, state: string): number[] {
  return [...listed.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm)].flatMap(
    ([, port = '', found]) => (found === state ? [Number.parseInt(port, 16)] : []),
  );
}
