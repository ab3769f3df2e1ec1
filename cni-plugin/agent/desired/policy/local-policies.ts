/** Policies of the tenants that have endpoints on this node, compiled. Pure. */
import type { Endpoint } from '../../../../controller/model/records.ts';
import { selects } from '../../../../controller/model/selector.ts';
import type { KnownPolicy } from '../../watch/snapshot.ts';
import { type CompiledPolicy, compilePolicy, type Term } from './terms.ts';

export interface LocalPoliciesOptions {
  /** a tenant's policies by store key, as known now */
  readonly policiesOf: (tenant: string) => ReadonlyMap<string, KnownPolicy>;
  /** terms that count from now on, and that do so no more */
  readonly onTerms: (added: readonly Term[], removed: readonly Term[]) => void;
}

/** A policy as it was and as it is: which pods it selects, and which peers it lets them meet. */
export class PolicyChange {
  readonly #states: readonly Loaded[];
  /** what it asks of the other end, or asked */
  readonly terms: ReadonlySet<string>;
  /** it allows, or allowed, something to everybody */
  readonly meansAnybody: boolean;
  readonly meansNetworks: boolean;

  constructor(states: readonly Loaded[]) {
    const rules = states.flatMap(({ policy }) => [...(policy.ingress ?? []), ...(policy.egress ?? [])]);
    this.#states = states;
    this.terms = new Set(states.flatMap(({ policy }) => policy.terms.map(({ key }) => key)));
    this.meansAnybody = rules.some(({ anybody }) => anybody);
    this.meansNetworks = rules.some(({ blocks }) => blocks.length > 0);
  }

  isAbout(endpoint: Endpoint): boolean {
    return this.#states.some((each) => isSubject(endpoint, each));
  }
}

interface Loaded {
  readonly namespace: string;
  readonly policy: CompiledPolicy;
}

export class LocalPolicies {
  readonly #options: LocalPoliciesOptions;
  /** by tenant, then by store key */
  readonly #loaded = new Map<string, Map<string, Loaded>>();

  constructor(options: LocalPoliciesOptions) {
    this.#options = options;
  }

  /** Policies count while they can be about an endpoint here. @param isLocal has the tenant one? */
  follow(tenant: string, isLocal: boolean): void {
    const loaded = this.#loaded.get(tenant);
    if (isLocal === (loaded !== undefined)) return;
    if (loaded === undefined) {
      this.#loaded.set(tenant, new Map());
      for (const key of this.#options.policiesOf(tenant).keys()) this.change(tenant, key);
      return;
    }
    this.#loaded.delete(tenant);
    for (const { policy } of loaded.values()) this.#options.onTerms([], policy.terms);
  }

  /** A policy came, changed or went. @returns undefined when it selects no pod here */
  change(tenant: string, key: string): PolicyChange | undefined {
    const loaded = this.#loaded.get(tenant);
    if (loaded === undefined) return undefined;
    const before = loaded.get(key);
    const known = this.#options.policiesOf(tenant).get(key);
    const now = known && { namespace: known.namespace, policy: compilePolicy(tenant, known) };
    if (now === undefined) loaded.delete(key);
    else loaded.set(key, now);
    // Those that stay must not go in between.
    this.#options.onTerms(now?.policy.terms ?? [], before?.policy.terms ?? []);
    return new PolicyChange([before, now].filter((each) => each !== undefined));
  }

  /** Those that select an endpoint. */
  of(endpoint: Endpoint): CompiledPolicy[] {
    const all = [...(this.#loaded.get(endpoint.tenant)?.values() ?? [])];
    return all.filter((each) => isSubject(endpoint, each)).map(({ policy }) => policy);
  }
}

function isSubject(endpoint: Endpoint, { namespace, policy }: Loaded): boolean {
  return namespace === endpoint.namespace && selects(policy.podSelector, endpoint.labels);
}
