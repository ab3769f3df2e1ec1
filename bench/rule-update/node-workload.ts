/**
 * A node with so many elements, as the agent would want it: the rule set, tenants' networks and blocks, pods. And what comes and goes on
 * it: a whole endpoint, a block that becomes another tenant's. For every backend the same items. Pure.
 */
import { type IpAddress, parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import type { Change } from '../../dataplane/diff.ts';
import { overlayLinkName } from '../../dataplane/ownership.ts';
import {
  type Collection,
  type ElementItem,
  type Item,
  itemKey,
  type NodeState,
  PORT_SET,
} from '../../dataplane/state.ts';
import { linkOf } from './contestant.ts';

const TENANTS = 100;
const MOST_PODS = 250;
const FIRST_VNI = 2;
const SYSTEM_VNI = 1;
const MAC = parseMac('0a:58:0a:ff:00:01');

export interface NodeWorkload {
  readonly desired: NodeState;
  /** the elements of one more pod, and its link's name */
  readonly endpoint: { readonly link: string; readonly items: readonly ElementItem[] };
  /** one block as its tenant's, and as another's */
  readonly block: readonly [ElementItem, ElementItem];
}

/** @param existing elements there already, the rules aside */
export function planNode(existing: number): NodeWorkload {
  const elements: ElementItem[] = [];
  for (let tenant = 0; tenant < TENANTS; tenant++) {
    const vni = FIRST_VNI + tenant;
    elements.push(element('network', [parsePrefix(`10.${128 + tenant}.0.0/16`)], vni));
    elements.push(element('overlaySource', [overlayLinkName(vni), vni]));
  }
  const pods = Math.min(MOST_PODS, Math.floor(existing / 20));
  for (let pod = 0; pod < pods; pod++) elements.push(...podElements(pod));
  for (let block = 0; elements.length < existing; block++)
    elements.push(blockElement(block, FIRST_VNI + (block % TENANTS)));
  const items: readonly Item[] = [
    {
      kind: 'ruleSet',
      pools: [parsePrefix('10.128.0.0/9')],
      platformNetworks: [parsePrefix('192.168.9.0/24')],
      blockPrefixLength: { v4: 28, v6: 124 },
      vxlanPort: 4789,
      underlay: 'eth0',
      segment: parsePrefix('192.168.9.0/24'),
      masqueradePorts: { from: 61_000, to: 65_535 },
      flows: { ofPod: 32_768, ofTenant: 65_536 },
    },
    ...elements,
  ];
  return {
    desired: new Map(items.map((item) => [itemKey(item), item])),
    endpoint: { link: linkOf(pods), items: podElements(pods) },
    block: [blockElement(0, FIRST_VNI), blockElement(0, FIRST_VNI + 1)],
  };
}

/** What the desired state has for one pod. @see cni-plugin/agent/desired/endpoints.ts */
function podElements(pod: number): ElementItem[] {
  const link = linkOf(pod);
  const vni = FIRST_VNI + (pod % TENANTS);
  const address = podAddress(pod);
  return [
    element('guard', [link, MAC, address]),
    element('podAddress', [link, address]),
    element('egress', [vni, link], PORT_SET.all),
    element('ingress', [vni, link], PORT_SET.all),
    element('ingress', [SYSTEM_VNI, link], PORT_SET.all),
    element('internet', [link]),
  ];
}

/** In its tenant's network, above all blocks. */
function podAddress(pod: number): IpAddress {
  return parseIp(`10.${128 + (pod % TENANTS)}.255.${1 + Math.floor(pod / TENANTS)}`);
}

/** The `index`th /28: a thousand at most in each tenant's network. */
function blockElement(index: number, vni: number): ElementItem {
  const inTenant = Math.floor(index / TENANTS) * 16;
  return element('block', [parseIp(`10.${128 + (index % TENANTS)}.${inTenant >> 8}.${inTenant & 255}`)], vni);
}

function element(collection: Collection, fields: ElementItem['fields'], value?: number): ElementItem {
  const base = { kind: 'element', collection, fields } as const;
  return value === undefined ? base : { ...base, value };
}

export const additions = (items: readonly Item[]): Change[] => items.map((item) => ({ op: 'add', item }));
export const removals = (items: readonly Item[]): Change[] => items.map((item) => ({ op: 'remove', item }));
