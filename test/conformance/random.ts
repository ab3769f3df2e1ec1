/** Random numbers that a seed repeats, and random scenes made with them: policies of every shape, relabelled pods, peerings. Pure. */
import type { Action, NamedPort, Places } from './case.ts';
import { PODS } from './cast.ts';
import type { Peer, PortInput, Selector, Spec } from './policy-input.ts';

export class Random {
  #state: number;

  /** @param seed u32 */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** @returns 0 up to and without 1 @see mulberry32, by Tommy Ettinger */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }

  /** @returns a whole number, 0 up to and without `below` */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0];
  }

  /** Some of them, `least` or more, in their order. */
  some<T>(from: readonly T[], least = 1): readonly T[] {
    const wanted = least + this.below(from.length - least + 1);
    const kept = new Set<number>();
    while (kept.size < wanted) kept.add(this.below(from.length));
    return from.filter((_, index) => kept.has(index));
  }

  times<T>(most: number, make: () => T): readonly T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

/** Changes in two steps: policies, with everything they speak of, and then some of it again, so that states follow on states. */
export function randomSteps(random: Random): readonly (readonly Action[])[] {
  const first = randomPolicies(random, 1 + random.below(6));
  if (random.chance(0.3)) first.unshift({ kind: 'peer', asks: random.chance(0.8) ? ['own', 'peer'] : ['own'] });
  return [first, [...randomChanges(random), ...randomPolicies(random, random.below(3))]];
}

function randomPolicies(random: Random, count: number): Action[] {
  return Array.from({ length: count }, () => {
    const policy = `p${random.below(4)}`;
    return {
      kind: 'put',
      namespace: random.pick(['x', 'x', 'y', 'z', 'p']),
      policy,
      spec: randomSpec(random),
    } as const;
  });
}

/** At least one. */
function randomChanges(random: Random): readonly Action[] {
  const pods = random.some(PODS.map(({ name }) => name)).slice(0, 3);
  return pods.map((pod): Action => {
    if (random.chance(0.6)) return { kind: 'label', pod, labels: randomLabels(random) };
    if (random.chance(0.5)) return { kind: 'ports', pod, ports: randomPorts(random) };
    const namespace = pod.split('/')[0] ?? 'x';
    return { kind: 'label-namespace', namespace, labels: { ns: random.pick(['x', 'y', 'z']) } };
  });
}

const randomLabels = (random: Random) => ({
  ...(random.chance(0.8) && { pod: random.pick(['a', 'b', 'c']) }),
  ...(random.chance(0.5) && { tier: random.pick(['front', 'back']) }),
});

function randomPorts(random: Random): readonly NamedPort[] {
  const web: NamedPort = { name: 'web', containerPort: random.pick([80, 81]), protocol: 'TCP' };
  const mix: NamedPort = {
    name: 'mix',
    containerPort: random.pick([80, 81]),
    protocol: random.pick(['TCP', 'UDP', 'SCTP'] as const),
  };
  return [web, mix].filter(() => random.chance(0.8));
}

/** One that speaks of addresses: they are looked up when it is put, and are the same for a seed. */
function randomSpec(random: Random): (places: Places) => Spec {
  const seed = random.below(2 ** 32);
  return (places) => specOf(new Random(seed), places);
}

function specOf(random: Random, places: Places): Spec {
  const rules = <K extends 'from' | 'to'>(key: K) =>
    random.times(2, () => ({
      ...(random.chance(0.8) && { [key]: random.times(2, () => randomPeer(random, places)) }),
      ...(random.chance(0.6) && { ports: random.times(3, () => randomPort(random)) }),
    }));
  return {
    podSelector: randomSelector(random, 'pod'),
    ...(random.chance(0.7) && { policyTypes: random.some(['Ingress', 'Egress'] as const) }),
    ...(random.chance(0.8) && { ingress: rules('from') }),
    ...(random.chance(0.5) && { egress: rules('to') }),
  };
}

function randomPeer(random: Random, places: Places): Peer {
  if (random.chance(0.3)) return { ipBlock: randomBlock(random, places) };
  const podSelector = { podSelector: randomSelector(random, 'pod') };
  const namespaceSelector = { namespaceSelector: randomSelector(random, 'ns') };
  return random.pick<Peer>([podSelector, namespaceSelector, { ...podSelector, ...namespaceSelector }]);
}

function randomSelector(random: Random, kind: 'pod' | 'ns'): Selector {
  if (random.chance(0.25)) return {};
  const [key, values] = random.pick<[string, readonly string[]]>(
    kind === 'pod'
      ? [
          ['pod', ['a', 'b', 'c']],
          ['tier', ['front', 'back']],
        ]
      : [
          ['ns', ['x', 'y', 'z']],
          ['env', ['prod', 'test']],
          ['kubernetes.io/metadata.name', ['x', 'y', 'z', 'p']],
        ],
  );
  const operator = random.pick(['Is', 'In', 'NotIn', 'Exists', 'DoesNotExist'] as const);
  if (operator === 'Is') return { matchLabels: { [key]: random.some(values)[0] ?? '' } };
  const isOfValues = operator === 'In' || operator === 'NotIn';
  return { matchExpressions: [{ key, operator, ...(isOfValues && { values: random.some(values) }) }] };
}

function randomBlock(random: Random, { ip, subnet }: Places): NonNullable<Peer['ipBlock']> {
  const one = () => `${ip(random.pick(['x/a', 'x/b', 'y/a', 'y/c', 'z/b', 'p/a', 's/a', 'out/b', 'far/a']))}/32`;
  if (random.chance(0.3)) return { cidr: one() };
  const cidr = random.pick(['0.0.0.0/0', subnet, '203.0.113.0/24', '198.51.100.0/24']);
  const holes = { '0.0.0.0/0': one(), [subnet]: `${ip('y/b')}/32`, '203.0.113.0/24': '203.0.113.128/25' }[cidr];
  return { cidr, ...(holes !== undefined && random.chance(0.6) && { except: [holes] }) };
}

function randomPort(random: Random): PortInput {
  const protocol = random.chance(0.85) ? { protocol: random.pick(['TCP', 'UDP', 'SCTP'] as const) } : {};
  const port = random.pick<Omit<PortInput, 'protocol'>>([
    {},
    { port: 80 },
    { port: 81 },
    { port: random.pick(['web', 'mix', 'tcp-80', 'udp-81']) },
    { port: 1 + random.below(80), endPort: 80 + random.below(5) },
    { port: 81, endPort: 81 + random.below(1000) },
  ]);
  return { ...protocol, ...port };
}
