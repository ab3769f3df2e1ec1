/**
 * A pod's links, addresses and routes alone, made in a namespace of its own by the class that the agent uses; beside it the same with the
 * command `ip`, once on the node and once in the container. No agent, no rules, no process of Tenet's.
 */
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { diff } from '../../dataplane/diff.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import { HOST_END_MAC, POD_GATEWAY, podLinkName } from '../../dataplane/ownership.ts';
import { type Item, itemKey, type NodeState } from '../../dataplane/state.ts';
import { BenchNamespace } from '../namespace.ts';
import { type SampleOptions, type Subject, sampleInterleaved, type Timing } from '../sample.ts';

export const WIRE = 'wire a pod, no process, no rules';
export const TENET_WIRING = 'Tenet (netlink)';
const IP_COMMAND = 'ip -batch, twice';

const LINK = podLinkName('0000000000aa');
const POD = { link: LINK, ifname: 'eth0', mac: parseMac('0a:58:0a:81:00:01'), mtu: 1450 } as const;
const ADDRESS = parseIp('10.129.0.1');
const SOURCE = parseIp(POD_GATEWAY);

/** Host end up, and the way there. @see cni-plugin/agent/desired/endpoints.ts */
const ITEMS: readonly Item[] = [
  { kind: 'podLink', name: LINK, mtu: POD.mtu, up: true },
  { kind: 'neighbour', link: LINK, address: ADDRESS, mac: POD.mac },
  { kind: 'route', type: 'unicast', destination: parsePrefix(`${ADDRESS}/32`), link: LINK, source: SOURCE },
];
const STATE: NodeState = new Map(ITEMS.map((item) => [itemKey(item), item]));

/** @returns how long wiring takes, each way @throws the signal's reason */
export async function sampleWiring(options: SampleOptions): Promise<Timing[]> {
  const spaces = [new BenchNamespace(), new BenchNamespace(), new BenchNamespace(), new BenchNamespace()] as const;
  const [ours, ourPod, theirs, theirPod] = spaces;
  const dataplane = ours.run(() => KernelDataplane.open());
  try {
    for (const node of [ours, theirs])
      ip(node, ['link add up0 type veth peer name up1', `address add ${SOURCE}/32 dev up0`, 'link set up0 up']);
    const wireOurs = () => {
      dataplane.createPod({ ...POD, netns: ourPod.path, addresses: [ADDRESS] });
      const failures = dataplane.apply(diff(STATE, new Map()), STATE);
      for (const [key, error] of failures) throw new Error(`${key}: ${error.message}`, { cause: error });
    };
    const unwire = (node: BenchNamespace) => () => ip(node, [`link delete ${LINK}`]);
    const subjects: Subject[] = [
      { name: TENET_WIRING, turns: 12, operations: { [WIRE]: () => ours.run(wireOurs), unwire: unwire(ours) } },
      { name: IP_COMMAND, turns: 2, operations: { [WIRE]: () => wireByIp(theirs, theirPod), unwire: unwire(theirs) } },
    ];
    return (await sampleInterleaved(subjects, options)).filter(({ operation }) => operation === WIRE);
  } finally {
    dataplane.close();
    for (const space of spaces) space.close();
  }
}

function wireByIp(node: BenchNamespace, pod: BenchNamespace): void {
  const { ifname, mac, mtu } = POD;
  const hostEnd = `link add ${LINK} address ${HOST_END_MAC} mtu ${mtu} type veth`;
  ip(node, [
    `${hostEnd} peer name ${ifname} address ${mac} mtu ${mtu} netns ${pod.path}`,
    `link set ${LINK} up`,
    `neighbour add ${ADDRESS} lladdr ${mac} dev ${LINK} nud permanent`,
    `route add ${ADDRESS}/32 dev ${LINK} src ${SOURCE}`,
  ]);
  ip(pod, [
    `address add ${ADDRESS}/32 dev ${ifname}`,
    `link set ${ifname} up`,
    `neighbour add ${SOURCE} lladdr ${HOST_END_MAC} dev ${ifname} nud permanent`,
    `route add ${SOURCE}/32 dev ${ifname}`,
    `route add default via ${SOURCE} dev ${ifname} onlink`,
  ]);
}

function ip(namespace: BenchNamespace, commands: readonly string[]): void {
  namespace.exec(['ip', '-batch', '-'], `${commands.join('\n')}\n`);
}
