/**
 * An endpoint of this node with the policies that select it: in each direction, who may and with which ports. Pure.
 */
import type { Endpoint, IpBlock, PolicyPort, Protocol } from '../../../../controller/model/records.ts';
import { hostPrefix, type IpAddress, prefixContains } from '../../../../dataplane/address.ts';
import { podLinkName } from '../../../../dataplane/ownership.ts';
import { type Item, type NetBits, PORT_SET } from '../../../../dataplane/state.ts';
import { type AllowedNetwork, divide } from './networks.ts';
import { PortRanges, portsNamed } from './port-ranges.ts';
import { type CompiledPolicy, type CompiledRule, portTermKey } from './terms.ts';

export const DIRECTIONS = ['egress', 'ingress'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Ports of the name that the one who is called has. */
type Resolve = (name: string, protocol: Protocol) => readonly number[];

const EVERYTHING = new PortRanges();
EVERYTHING.add(undefined, () => []);

/** One direction of an endpoint. Port sets are texts of {@link PortRanges.format}. */
export class Side {
  /** undefined: not restricted */
  readonly #rules: readonly CompiledRule[] | undefined;
  /** texts of unions, by which rules they are of, where no port has a name */
  readonly #texts = new Map<string, string>();
  readonly #resolve: (answers: ReadonlyMap<string, string>) => Resolve;
  /** rules allow networks, so that an address can be allowed whichever endpoint has it */
  readonly hasNetworks: boolean;
  /** names of ports among those allowed: which port that is, depends on whose the address is */
  readonly namesPorts: boolean;

  /** @param resolve given what the other end answers to terms */
  constructor(rules: readonly CompiledRule[] | undefined, resolve: (answers: ReadonlyMap<string, string>) => Resolve) {
    this.#rules = rules;
    this.#resolve = resolve;
    const networks = (rules ?? []).filter(({ blocks }) => blocks.length > 0);
    this.hasNetworks = networks.length > 0;
    this.namesPorts = networks.some(({ ports = [] }) => ports.some(({ port }) => typeof port === 'string'));
  }

  get isRestricted(): boolean {
    return this.#rules !== undefined;
  }

  /** What endpoints of one identity are allowed because of who they are. */
  portsFor(answers: ReadonlyMap<string, string>): string {
    return this.#union(
      this.#resolve(answers),
      ({ anybody, terms }) => anybody || terms.some((key) => answers.has(key)),
    );
  }

  /** What everybody beyond the cluster is allowed: no name means a port there. */
  portsBeyond(): string {
    return this.#union(
      () => [],
      ({ anybody }) => anybody,
    );
  }

  /**
   * What is allowed by address besides.
   * @param own the endpoint's own addresses: it may always meet itself
   * @param named endpoints whose named ports count, where {@link namesPorts}
   */
  *regions(
    own: readonly IpAddress[],
    named: Iterable<Endpoint>,
  ): Generator<{ base: IpAddress; bits: NetBits; ports: string }> {
    if (this.#rules === undefined) return;
    // An address alone has no named ports; but where the endpoint itself is called, the names are its own.
    const resolve = this.#resolve(NO_ANSWERS);
    const networks = this.#rules.flatMap(({ blocks, ports }) => blocks.map((block) => allowed(block, ports, resolve)));
    const itself = own.map((address) => allowed({ cidr: hostPrefix(address) }, undefined, resolve));
    for (const { base, bits, ports } of divide(
      [...networks, ...this.#namedIn(named), ...itself],
      () => new PortRanges(),
    ))
      yield { base, bits, ports: ports.format() };
  }

  /** Addresses of endpoints that rules about networks call by the name of a port. */
  *#namedIn(endpoints: Iterable<Endpoint>): Generator<AllowedNetwork> {
    if (!this.namesPorts) return;
    for (const { ips, ports: theirs } of endpoints) {
      for (const { blocks, ports = [] } of this.#rules ?? []) {
        const called = ports.filter(({ port }) => typeof port === 'string');
        for (const ip of called.length > 0 && theirs.length > 0 ? ips : []) {
          if (!blocks.some((block) => isInside(ip, block))) continue;
          yield allowed({ cidr: hostPrefix(ip) }, called, (name, protocol) => portsNamed(theirs, name, protocol));
        }
      }
    }
  }

  #union(resolve: Resolve, applies: (rule: CompiledRule) => boolean): string {
    if (this.#rules === undefined) return EVERYTHING.format();
    const applying = [...this.#rules.entries()].filter(([, rule]) => applies(rule));
    const isNamed = applying.some(([, { ports = [] }]) => ports.some(({ port }) => typeof port === 'string'));
    const key = applying.map(([index]) => index).join();
    const known = isNamed ? undefined : this.#texts.get(key);
    if (known !== undefined) return known;
    const union = new PortRanges();
    for (const [, { ports }] of applying) union.add(ports, resolve);
    const text = union.format();
    if (!isNamed) this.#texts.set(key, text);
    return text;
  }
}

export const NO_ANSWERS: ReadonlyMap<string, string> = new Map();

function allowed(block: IpBlock, ports: readonly PolicyPort[] | undefined, resolve: Resolve): AllowedNetwork {
  return { block, addTo: (union) => union.add(ports, resolve) };
}

function isInside(ip: IpAddress, { cidr, except = [] }: IpBlock): boolean {
  return prefixContains(cidr, ip) && !except.some((hole) => prefixContains(hole, ip));
}

export class Subject {
  readonly endpoint: Endpoint;
  readonly egress: Side;
  readonly ingress: Side;
  /** the same for subjects for which the same things have to be said of everybody, whatever the ports */
  readonly kind: string;

  /** @param policies those that select it */
  constructor(endpoint: Endpoint, policies: readonly CompiledPolicy[]) {
    const { tenant } = endpoint;
    this.endpoint = endpoint;
    this.egress = new Side(
      rulesOf(policies, 'egress'),
      (answers) => (name, protocol) =>
        (answers.get(portTermKey(tenant, name, protocol)) ?? '').split(',').filter(Boolean).map(Number),
    );
    this.ingress = new Side(
      rulesOf(policies, 'ingress'),
      () => (name, protocol) => portsNamed(endpoint.ports, name, protocol),
    );
    this.kind = JSON.stringify([this.egress, this.ingress].map((side) => [side.isRestricted, side.hasNetworks]));
  }
}

/** Of all policies that restrict the direction; undefined when none does. */
function rulesOf(policies: readonly CompiledPolicy[], direction: Direction): CompiledRule[] | undefined {
  const restricting = policies.flatMap((policy) => policy[direction] ?? []);
  return policies.some((policy) => policy[direction] !== undefined) ? restricting : undefined;
}

/**
 * (identity, pod link) → port set, both ways. An element without ports is there only so that networks are asked too.
 * @param isItself the pod is among those: its own address is always one of its networks
 */
export function* pairs(
  subject: Subject,
  number: number,
  isItself: boolean,
  portsOf: (side: Side) => number,
): Generator<Item> {
  const link = podLinkName(subject.endpoint.id);
  for (const direction of DIRECTIONS) {
    const side = subject[direction];
    const value = portsOf(side);
    if (value === PORT_SET.none && !side.hasNetworks && !isItself) continue;
    yield { kind: 'element', collection: direction, fields: [number, link], value };
  }
}
