/**
 * What a node knows in this benchmark: its own two pods that packets go between, and as many other endpoints as wanted, each by itself
 * and by its block. The state follows from that as in the agent (computeDesired). Pure.
 */
import { computeDesired } from '../../cni-plugin/agent/desired/desired.ts';
import { Snapshot } from '../../cni-plugin/agent/watch/snapshot.ts';
import type { Block, Endpoint } from '../../controller/model/records.ts';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { type Item, itemKey, type NodeState } from '../../dataplane/state.ts';
import { endpoint, entries, facts, node, tenant } from '../../test/cni-plugin/agent/builders.ts';

/** Its endpoints may all talk to each other. */
const OURS = tenant('ours', 42, { subnets: [parsePrefix('10.130.0.0/15'), parsePrefix('10.129.0.0/24')] });
/** Has an endpoint here too: known, and closed to ours. */
const THEIRS = tenant('theirs', 43, { subnets: [parsePrefix('10.140.0.0/24')] });
/** Other tenants with endpoints on this node. */
const NEIGHBOURS = Array.from({ length: 50 }, (_, index) =>
  tenant(`t${index}`, 44 + index, { subnets: [parsePrefix(`10.${150 + index}.0.0/24`)] }),
);
/** Endpoints on this node, of all that it knows: as many as a kubelet lets be, and some. */
const MOST_HERE = 250;
/** Addresses in a block of the cluster, a /27. */
const BLOCK = 32;

export const UNDERLAY = facts().underlay;
export const SENDER = local(1, OURS, '10.129.0.1');
export const RECEIVER = local(2, OURS, '10.129.0.2');
/** Nothing for {@link SENDER}. */
export const FORBIDDEN = parseIp('10.140.0.1');
/** Both are behind {@link RECEIVER}'s link here, so that a packet to any of their addresses takes the same way. */
export const BEHIND_RECEIVER = ['10.130.0.0/15', '10.140.0.0/24'] as const;

/** The address of the `index`th endpoint of {@link OURS} elsewhere, below 2^17. */
export function addressOf(index: number): string {
  return `10.${130 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

/** The links and routes of such a node without anything that filters. */
export function stateWithoutRules(): NodeState {
  return new Map([...stateKnowing(2)].filter(([, { kind }]) => kind !== 'element' && kind !== 'ruleSet'));
}

/** Everything that should be in the kernel of a node that knows so many endpoints. */
export function stateKnowing(endpoints: number): NodeState {
  const snapshot = new Snapshot();
  for (const entry of entries({ nodes: [node(1), node(2)], tenants: [OURS, THEIRS, ...NEIGHBOURS] }))
    snapshot.put(entry);
  const blocks = ['10.129.0.0/27', ...blocksOf(endpoints)].map(
    (prefix): Block => ({ tenant: OURS.name, prefix: parsePrefix(prefix), node: 'node1' }),
  );
  const desired = (here: readonly Endpoint[]) => computeDesired(snapshot, facts(), { endpoints: here, blocks });
  const state = new Map(desired([SENDER, RECEIVER]));
  // The other pods here are in the rules alone: their links would carry nothing.
  for (const item of desired([SENDER, RECEIVER, ...othersHere(Math.min(endpoints, MOST_HERE) - 2)])?.values() ?? [])
    if (item.kind === 'element') state.set(itemKey(item), item);
  for (let index = 0; index < endpoints; index++) add(state, identity(addressOf(index), OURS.vni));
  add(state, identity(FORBIDDEN, THEIRS.vni));
  return state;
}

function add(state: Map<string, Item>, item: Item): void {
  state.set(itemKey(item), item);
}

function identity(address: string, value: number): Item {
  return { kind: 'element', collection: 'identity', fields: [address], value };
}

function blocksOf(endpoints: number): string[] {
  return Array.from({ length: Math.ceil(endpoints / BLOCK) }, (_, index) => `${addressOf(index * BLOCK)}/27`);
}

function othersHere(count: number): Endpoint[] {
  return Array.from({ length: count }, (_, index) => {
    const [of, nth] = index === 0 ? [THEIRS, 0] : [NEIGHBOURS[index % NEIGHBOURS.length] ?? THEIRS, index];
    return local(3 + index, of, `${of.subnets[0]?.split('0.0/')[0]}0.${1 + (nth >> 1)}`);
  });
}

function local(number: number, of: typeof OURS, ip: string): Endpoint {
  const id = number.toString(16).padStart(12, '0');
  const bytes = ip.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return endpoint(id, of, ip, { mac: parseMac(`0a:58:${bytes.join(':')}`) });
}
