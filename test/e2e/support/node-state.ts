/**
 * A node's kernel as stock tools show it: what is Tenet's, whole or by part, and commands to damage it. What ought to be there is the
 * tests' business.
 */
import { run } from '../../lab/fabric.ts';
import { netnsPath } from '../../lab/probe/netns-path.ts';

interface Node {
  readonly netns: string;
}

/** Runs a command inside a node. @returns stdout @throws Error with its words */
export function inside({ netns }: Node, command: string): Promise<string> {
  return run(['nsenter', `--net=${netnsPath(netns)}`, '--', 'sh', '-ec', command]);
}

/**
 * Handles of all rules, and of their tables: they change when something is made anew. On the iptables backend they are those of
 * iptables-nft's tables.
 */
export async function ruleHandles(node: Node): Promise<readonly string[]> {
  const text = await inside(node, 'nft -a list ruleset 2>/dev/null');
  return [...text.matchAll(/# handle (\d+)$/gm)].map(([, handle]) => handle ?? '');
}

const END = '-- end of a command --';

/** Of several commands the stdout of each; one process less for each than one by one. */
export async function allInside(node: Node, commands: readonly string[]): Promise<readonly string[]> {
  const text = await inside(node, commands.map((command) => `${command}\necho; echo '${END}'\n`).join(''));
  return text.split(`\n${END}\n`).slice(0, -1);
}

/** Of the lab's hosts. */
const UNDERLAY_LINK = 'eth0';

/** Questions to tc, one line each: what programs are at each place of each pod link. */
const PLACES = `while read -r link rest; do case $link in tnp????????????:*) link=\${link%%:*}
  printf 'filter show dev %s ingress\nfilter show dev %s egress\n' $link $link;; esac; done </proc/self/net/dev`;
/** Prints what {@link filtersOf} reads. */
export const FILTERS = `places=$(${PLACES}); echo "$places"; [ -z "$places" ] || echo "$places" | tc -j -batch -`;

/** Each prints in JSON what one program is asked; one that is asked much answers all of it, a line each. */
const LOOKS = [
  'nft -j list table inet tenet || true',
  'iptables-save; ip6tables-save',
  'ipset save',
  FILTERS,
  "printf 'link show\naddress show\nroute show\nneighbour show nud permanent\nnetconf show\n' | ip -j -d -batch -",
  'bridge -j fdb show',
];

/**
 * All of Tenet's in a node's kernel, one line each, sorted: rules and elements, links, addresses, routes, neighbours, FDB entries. Two
 * equal lists are the same network.
 */
export async function tenetState(node: Node): Promise<readonly string[]> {
  const [table = '', chains = '', sets = '', filters = '', others = '', fdb = ''] = await allInside(node, LOOKS);
  const [links = '', addresses = '', routes = '', neighbours = '', settings = ''] = others.split('\n');
  return [
    ...linesOfTable(table),
    ...linesOfTenet(chains, /TENET-/),
    ...linesOfTenet(sets, /^\w+ tenet-/),
    ...filtersOf(filters).map(lineOfFilter),
    ...parse<LinkJson>(links).filter(isOurs).map(lineOfLink),
    ...parse<LinkJson & AddressJson>(addresses).filter(isOurs).map(lineOfAddresses),
    ...parse<RouteJson>(routes)
      .filter(({ dev }) => dev !== undefined && isOurName(dev))
      .map((each) => `route ${JSON.stringify(each)}`),
    ...parse<{ dev: string; protocol?: string }>(neighbours)
      .filter(({ dev, protocol }) => isOurName(dev) || protocol === '126')
      .map((each) => `neighbour ${JSON.stringify(each)}`),
    ...parse<SettingsJson>(settings)
      .filter((each) => each.family === 'inet' && (isOurName(each.interface) || each.interface === UNDERLAY_LINK))
      .map(lineOfSettings),
    ...parse<{ ifname: string }>(fdb)
      .filter(({ ifname }) => isOurName(ifname))
      .map((each) => `fdb ${JSON.stringify(each)}`),
  ].sort();
}

/** Filters with a program at pod links, by link and place. @param text what FILTERS has printed */
export function filtersOf(text: string): readonly PodFilter[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const places = lines.filter((line) => line.startsWith('filter show dev '));
  const answers = lines.slice(places.length);
  if (answers.length !== places.length) throw new Error(`tc has ${answers.length} answers for ${places.length} places`);
  return places.flatMap((asked, index) => {
    const [, , , link = '', place = ''] = asked.split(' ');
    return parse<FilterJson>(answers[index] ?? '')
      .filter(({ kind }) => kind === 'bpf')
      .map((filter) => ({ link, place, filter }));
  });
}

/** Without the number that the kernel gives each program it loads. */
function lineOfFilter({ link, place, filter }: PodFilter): string {
  const { options: { prog, ...options } = {}, ...rest } = filter;
  return `filter ${link} ${place} ${JSON.stringify({ ...rest, options, program: { ...prog, id: undefined } })}`;
}

/** Without what differs from one making to the next: seeds of hashes, sizes they have grown to. */
function linesOfTenet(saved: string, isOurs: RegExp): string[] {
  return saved
    .split('\n')
    .filter((line) => isOurs.test(line))
    .map((line) => line.replace(/ (initval|hashsize|bucketsize) \S+/g, ''));
}

interface LinkJson {
  readonly ifname: string;
  readonly mtu: number;
  readonly group: string;
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Readonly<Record<string, unknown>> };
}

interface AddressJson {
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

interface PodFilter {
  readonly link: string;
  /** `ingress` or `egress` */
  readonly place: string;
  readonly filter: FilterJson;
}

interface FilterJson {
  readonly kind?: string;
  readonly options?: { readonly prog?: { readonly id?: number }; readonly bytecode?: string };
}

interface SettingsJson {
  readonly family: string;
  readonly interface: string;
  readonly forwarding: boolean;
  readonly rp_filter: string;
  readonly proxy_neigh: boolean;
}

interface RouteJson {
  readonly dev?: string;
}

const isOurName = (name: string): boolean => /^(tnp[0-9a-f]{12}|tnt\d+)$/.test(name);
const isOurs = ({ ifname }: LinkJson): boolean => isOurName(ifname);
const parse = <T>(json: string): readonly T[] => (json.trim() === '' ? [] : (JSON.parse(json) as T[]));

function lineOfLink({ ifname, mtu, group, address, flags, linkinfo }: LinkJson): string {
  const { id, local, port, learning } = linkinfo?.info_data ?? {};
  const up = flags.includes('UP');
  const noArp = flags.includes('NOARP');
  return `link ${JSON.stringify({ ifname, kind: linkinfo?.info_kind, mtu, group, address, up, noArp, id, local, port, learning })}`;
}

function lineOfSettings({ interface: link, forwarding, rp_filter, proxy_neigh }: SettingsJson): string {
  const ofOurs = link === UNDERLAY_LINK ? {} : { rp_filter, proxy_neigh };
  return `settings ${JSON.stringify({ link, forwarding, ...ofOurs })}`;
}

function lineOfAddresses({ ifname, addr_info }: LinkJson & AddressJson): string {
  const addresses = addr_info
    .filter(({ scope }) => scope !== 'link')
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  return `addresses ${ifname} ${addresses.sort().join(' ')}`;
}

/**
 * One line for each chain, rule and element; without handles, for those change with every repair, and without what packets add to
 * dynamic sets, which comes and goes with flows.
 */
function linesOfTable(json: string): string[] {
  if (json.trim() === '') return [];
  const { nftables } = JSON.parse(json) as { nftables: readonly Record<string, Record<string, unknown>>[] };
  return nftables.flatMap((object) => {
    const [kind = '', { handle: _, elem, ...rest } = {}] = Object.entries(object)[0] ?? [];
    if (kind === 'metainfo') return [];
    const isDynamic = (rest.flags as readonly string[] | undefined)?.includes('dynamic') ?? false;
    const ofConfiguration = isDynamic ? [] : ((elem as unknown[] | undefined) ?? []);
    const elements = ofConfiguration.map((each) => `element ${String(rest.name)} ${JSON.stringify(each)}`);
    return [`${kind} ${JSON.stringify(rest)}`, ...elements];
  });
}
