/** What is not a pod, and yet answers: hosts beyond the cluster, and the nodes, which must not. */
import { ip } from '../lab/fabric.ts';
import type { Lab } from '../lab/lab.ts';
import { FAR_NETWORK, OUTSIDE_ADDRESSES } from './cast.ts';
import { Station } from './station.ts';
import { PORTS } from './truth.ts';

/** Lets the lab's outside host have every address beyond the cluster. @returns all of these, which only answer */
export async function openWorld(lab: Lab): Promise<Station> {
  const { outside, fabricNetns, hosts } = lab;
  const addresses = Object.values(OUTSIDE_ADDRESSES);
  await ip(
    outside.netns,
    addresses.filter((address) => address !== outside.address).map((address) => `address add ${address}/32 dev eth0`),
  );
  await ip(fabricNetns, [`route add ${FAR_NETWORK} via ${outside.address}`]);
  for (const [index, host] of hosts.entries())
    for (const port of PORTS) await lab.prober(host).tcpListen(port, `node/${index + 1}`);
  return await Station.open('outside', lab.prober(outside), addresses);
}
