/** Which link, address and MTU reach the other nodes: as configured, else the default route's. Reads, never changes. */
import { InvalidInput } from '../../../controller/errors.ts';
import { familyOf, type IpAddress, prefixOf } from '../../../dataplane/address.ts';
import type { InterfaceAddress } from '../../../dataplane/codecs/rtnetlink/ifaddr.ts';
import type { Link } from '../../../dataplane/codecs/rtnetlink/link.ts';
import type { Route } from '../../../dataplane/codecs/rtnetlink/route.ts';
import type { NodeFacts } from '../desired/node-facts.ts';

/** What the kernel says of the machine's own network. */
export interface UnderlayView {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

/** @throws InvalidInput naming the flag to give or to mend */
export function findUnderlay(
  view: UnderlayView,
  wanted: { readonly underlayInterface?: string; readonly underlayAddress?: IpAddress },
): NodeFacts['underlay'] {
  const link = findLink(view, wanted);
  const addresses = view.addresses.filter(
    ({ linkIndex, address }) => linkIndex === link.index && familyOf(address) === 4,
  );
  const { underlayAddress } = wanted;
  const found =
    underlayAddress === undefined ? addresses[0] : addresses.find(({ address }) => address === underlayAddress);
  if (found === undefined) {
    const what = underlayAddress === undefined ? 'no IPv4 address' : `no address ${underlayAddress}`;
    throw new InvalidInput('--underlay-address', `link ${link.name} has ${what}`);
  }
  if (link.mac === undefined) throw new InvalidInput('--underlay-interface', `link ${link.name} has no MAC address`);
  const subnet = prefixOf(found.address, found.prefixLength);
  return { link: link.name, address: found.address, subnet, mac: link.mac, mtu: link.mtu };
}

function findLink(
  { links, addresses, routes }: UnderlayView,
  { underlayInterface, underlayAddress }: { readonly underlayInterface?: string; readonly underlayAddress?: IpAddress },
): Link {
  if (underlayInterface !== undefined) {
    const link = links.find(({ name }) => name === underlayInterface);
    if (link === undefined) throw new InvalidInput('--underlay-interface', `there is no link ${underlayInterface}`);
    return link;
  }
  const index =
    underlayAddress === undefined
      ? routes.find(({ destination, type }) => destination === '0.0.0.0/0' && type === 'unicast')?.linkIndex
      : addresses.find(({ address }) => address === underlayAddress)?.linkIndex;
  const link = links.find((each) => each.index === index);
  if (link !== undefined) return link;
  if (underlayAddress !== undefined)
    throw new InvalidInput('--underlay-address', `no link has address ${underlayAddress}`);
  throw new InvalidInput(
    '--underlay-interface',
    'there is no default route to tell which link reaches the other nodes: name it',
  );
}
