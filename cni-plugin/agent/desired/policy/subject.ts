/**
 * An endpoint of this node with the policies that select it: in each direction, who may and with which ports. Pure.
 */
import type { Endpoint, Protocol } from '../../../../controller/model/records.ts';
import { hostPrefix, type IpAddress } from '../../../../dataplane/address.ts';
import type { NetBits } from '../../../../dataplane/state.ts';
import { divide } from './networks.ts';
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
  readonly #resolve: (answers: ReadonlyMap<string, string>) => Resolve;
  /** rules allow networks, so that an address can be allowed whoever has it */
  readonly hasNetworks: boolean;

  /** @param resolve given what the other end answers to terms */
  constructor(rules: readonly CompiledRule[] | undefined, resolve: (answers: ReadonlyMap<string, string>) => Resolve) {
    this.#rules = rules;
    this.#resolve = resolve;
    this.hasNetworks = rules?.some(({ blocks }) => blocks.length > 0) ?? false;
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

  /** What is allowed by address besides. @param own the endpoint's own addresses: it may always meet itself */
  *regions(own: readonly IpAddress[]): Generator<{ base: IpAddress; bits: NetBits; ports: string }> {
    if (this.#rules === undefined) return;
    // Nobody is named by an address alone, so nobody's named ports are known; a called endpoint's own are.
    const resolve = this.#resolve(new Map());
    const networks = this.#rules.flatMap(({ blocks, ports }) =>
      blocks.map((block) => ({ block, addTo: (union: PortRanges) => union.add(ports, resolve) })),
    );
    const itself = own.map((address) => ({
      block: { cidr: hostPrefix(address) },
      addTo: (union: PortRanges) => union.add(undefined, resolve),
    }));
    for (const { base, bits, ports } of divide([...networks, ...itself], () => new PortRanges()))
      yield { base, bits, ports: ports.format() };
  }

  #union(resolve: Resolve, applies: (rule: CompiledRule) => boolean): string {
    if (this.#rules === undefined) return EVERYTHING.format();
    const union = new PortRanges();
    for (const rule of this.#rules) if (applies(rule)) union.add(rule.ports, resolve);
    return union.format();
  }
}

export class Subject {
  readonly endpoint: Endpoint;
  readonly egress: Side;
  readonly ingress: Side;

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
  }
}

/** Of all policies that restrict the direction; undefined when none does. */
function rulesOf(policies: readonly CompiledPolicy[], direction: Direction): CompiledRule[] | undefined {
  const restricting = policies.flatMap((policy) => policy[direction] ?? []);
  return policies.some((policy) => policy[direction] !== undefined) ? restricting : undefined;
}
