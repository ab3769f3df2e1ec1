/**
 * Ends that no policy tells apart: replicas of one thing, of which one answers for all. Pure.
 */
import { familyOf, type IpAddress, ipToNumber } from '../../dataplane/address.ts';
import { type AddressRange, rangeOf } from '../model/prefix-set.ts';
import type { Endpoint, Labels, Policy } from '../model/records.ts';
import type { End } from './world.ts';

export class EndClasses {
  readonly #ranges: readonly AddressRange[];
  readonly #known = new Map<End, number>();
  readonly #numbers = new Map<string, number>();

  /** @param policies all that could be asked of an end */
  constructor(policies: readonly Policy[]) {
    const rules = policies.flatMap(({ spec: { ingress = [], egress = [] } }) => [
      ...ingress.map(({ from = [] }) => from),
      ...egress.map(({ to = [] }) => to),
    ]);
    const blocks = rules.flat().flatMap(({ ipBlock }) => ipBlock ?? []);
    const networks = new Set(blocks.flatMap(({ cidr, except = [] }) => [cidr, ...except]));
    this.#ranges = [...networks].filter((each) => familyOf(each) === 4).map(rangeOf);
  }

  /** The same number for ends that are treated alike; whether a container calls itself is not looked at. */
  of(end: End): number {
    const known = this.#known.get(end);
    if (known !== undefined) return known;
    const key = end.kind === 'endpoint' ? this.#keyOf(end.endpoint, end.addresses) : end.address;
    const number = this.#numbers.get(key) ?? this.#numbers.size;
    this.#numbers.set(key, number);
    this.#known.set(end, number);
    return number;
  }

  #keyOf({ tenant, namespace, labels, ports }: Endpoint, addresses: readonly IpAddress[]): string {
    const networks = addresses.map((address) => this.#networksOf(address));
    return JSON.stringify([tenant, namespace, sorted(labels), ports, networks]);
  }

  #networksOf(address: IpAddress): string {
    if (familyOf(address) === 6) return '6';
    const value = ipToNumber(address);
    return this.#ranges.map(({ start, end }) => (value >= start && value < end ? '1' : '0')).join('');
  }
}

function sorted(labels: Labels): [string, string][] {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}
