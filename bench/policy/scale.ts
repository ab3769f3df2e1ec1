/**
 * One change on a node that knows many policies and endpoints, beside the same change on one that knows few: from the records to the end
 * of the kernel's transaction, and how many elements that changed. A change is to cost its own effect, however much is there.
 */
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Snapshot } from '../../cni-plugin/agent/watch/snapshot.ts';
import type { LabelSelector } from '../../controller/model/records.ts';
import { formatCount } from '../format.ts';
import { type Figure, PartUnavailable, type RunOptions, type Summary, type Target } from '../result.ts';
import { TENET } from '../rule-update/tenet-nftables.ts';
import { summarise } from '../sample.ts';
import { ChainPerPolicy, PEER } from './peer.ts';
import { type FirstTime, PolicyNode } from './policy-node.ts';
import {
  endpointEntry,
  ingressOf,
  LABEL_SETS,
  namespaceName,
  planEndpoint,
  planWorld,
  policyEntry,
  tierName,
  type WorldSize,
} from './world.ts';

const FEW: WorldSize = { policies: 10, endpoints: 200 };
const MANY: WorldSize = { policies: 1_000, endpoints: 10_000 };

export const ELEMENTS = 'elements in the kernel';
const MEMORY = 'memory of snapshot and desired state';
const READ = 'all records read';
const COMPUTED = 'all computed the first time';
const LOADED = 'all loaded into the kernel';
export const SWEPT = 'what is no longer used swept';
const ENDPOINT_COMES = 'an endpoint elsewhere comes';
const LABELS = 'the endpoint’s labels change to others known';
const ENDPOINT_GOES = 'the endpoint goes';
const POLICY_COMES = 'a policy comes';
const PORTS = 'the policy’s ports change';
const POLICY_GOES = 'the policy goes';
const SELECTOR_COMES = 'a policy with a selector of its own comes';
const SELECTOR_GOES = 'the policy with a selector of its own goes';
const WIDE_COMES = 'a policy for a whole namespace comes';
const WIDE_GOES = 'the policy for a whole namespace goes';
export const CHANGE_OPERATIONS = [
  ENDPOINT_COMES,
  LABELS,
  ENDPOINT_GOES,
  POLICY_COMES,
  PORTS,
  POLICY_GOES,
  SELECTOR_COMES,
  SELECTOR_GOES,
  WIDE_COMES,
  WIDE_GOES,
] as const;
/** Of a change that needs the same elements. */
const WANTED_GROWTH = 2;
const WARM_UP = 5;

/** One thing that happens to a node; the steps of all, in order, end where they began. */
interface Step {
  readonly operation: string;
  readonly happen: (snapshot: Snapshot) => void;
}

/** A node of one size, and the other way of changing as many policies where there is one. */
interface Contestant {
  readonly size: WorldSize;
  readonly node: PolicyNode;
  readonly steps: readonly Step[];
  readonly peer: ChainPerPolicy | undefined;
}

/** @param hasNft is there the program that the other way needs? */
export async function measureScale(hasNft: boolean, { quick, signal, progress }: RunOptions): Promise<Figure[]> {
  const contestants: Contestant[] = [];
  const closers: (() => void)[] = [];
  const figures: Figure[] = [];
  try {
    for (const size of [FEW, MANY]) {
      signal.throwIfAborted();
      progress(`${size.policies} policies, ${size.endpoints} endpoints in ${LABEL_SETS} label sets`);
      const { node, figures: first } = build(size, quick ? 1 : 5);
      closers.push(() => node.close());
      const peer = hasNft ? new ChainPerPolicy(size.policies) : undefined;
      closers.push(() => peer?.close());
      contestants.push({ size, node, steps: stepsFor(size), peer });
      figures.push(...first);
    }
    const rounds = quick ? 25 : 200;
    progress(`${rounds} changes of each kind`);
    const samples = new Samples();
    const peers = new Map<WorldSize, number[]>();
    for (let round = 0; round < rounds + WARM_UP; round++) {
      for (const { size, node, steps, peer } of contestants) {
        await setImmediate();
        signal.throwIfAborted();
        for (const { operation, happen } of steps) {
          const applied = node.change(happen);
          const swept = node.sweep();
          if (round < WARM_UP) continue;
          samples.add(size, operation, applied);
          if (swept !== undefined) samples.add(size, SWEPT, swept);
        }
        const us = peer?.replace();
        if (us !== undefined && round >= WARM_UP) peers.set(size, [...(peers.get(size) ?? []), us]);
      }
    }
    figures.push(...samples.figures());
    for (const [size, us] of peers) figures.push({ ...figure(PORTS, size, summarise(us, 'µs')), subject: PEER });
    for (const { size, node } of contestants)
      figures.push(figure(ELEMENTS, size, summarise([node.elements()], 'elements')));
    return figures;
  } finally {
    for (const close of closers) close();
  }
}

/** A world read, computed and loaded so many times; the last is kept. @throws PartUnavailable without the privilege */
function build(size: WorldSize, times: number) {
  const firsts: FirstTime[] = [];
  const memoryMiB: number[] = [];
  const world = planWorld(size);
  for (let time = 1; ; time++) {
    const before = usedMiB();
    const node = openNode(world);
    try {
      firsts.push(node.begin(world));
      memoryMiB.push(usedMiB() - before);
    } catch (error) {
      node.close();
      throw error;
    }
    if (time < times) {
      node.close();
      continue;
    }
    const figures = [
      figure(
        READ,
        size,
        summariseBy(firsts, ({ readUs }) => readUs),
      ),
      figure(
        COMPUTED,
        size,
        summariseBy(firsts, ({ computedUs }) => computedUs),
      ),
      figure(
        LOADED,
        size,
        summariseBy(firsts, ({ appliedUs }) => appliedUs),
      ),
      figure(MEMORY, size, summarise(memoryMiB, 'MiB')),
    ];
    return { node, figures };
  }
}

function openNode(world: ConstructorParameters<typeof PolicyNode>[0]): PolicyNode {
  try {
    return new PolicyNode(world);
  } catch (error) {
    throw new PartUnavailable(`no network namespace can be made: ${error instanceof Error ? error.message : error}`);
  }
}

function summariseBy(firsts: readonly FirstTime[], pick: (first: FirstTime) => number): Summary {
  return summarise(firsts.map(pick), 'µs');
}

/** The policy's own app and the app it lets in are in one namespace, and every pod of the latter has an identity already. */
function stepsFor({ endpoints }: WorldSize): Step[] {
  const known = planEndpoint(endpoints, 0);
  const relabelled = planEndpoint(endpoints, 10);
  const entries = { known: endpointEntry(known), relabelled: endpointEntry(relabelled) };
  const near = { matchLabels: { app: 'app-0', tier: tierName(0) } };
  // What the policies of the world ask for too, and what none does.
  const asked = { matchLabels: { app: 'app-10' } };
  const own = { matchLabels: { app: 'app-10', tier: tierName(0) } };
  const policy = (name: string, podSelector: LabelSelector, from: LabelSelector, port = 443) =>
    policyEntry(
      namespaceName(0),
      name,
      ingressOf(podSelector, { from: [{ podSelector: from }], ports: [{ protocol: 'TCP', port }] }),
    );
  const [one, another] = [policy('own', near, asked), policy('own', near, asked, 8443)];
  const [special, wide] = [policy('special', near, own), policy('wide', {}, asked)];
  const put = (operation: string, entry: typeof one): Step => ({
    operation,
    happen: (snapshot) => snapshot.put(entry),
  });
  const remove = (operation: string, { key }: typeof one): Step => ({
    operation,
    happen: (snapshot) => snapshot.remove(key),
  });
  return [
    put(ENDPOINT_COMES, entries.known),
    put(LABELS, entries.relabelled),
    put(LABELS, entries.known),
    remove(ENDPOINT_GOES, entries.known),
    put(POLICY_COMES, one),
    put(PORTS, another),
    put(PORTS, one),
    remove(POLICY_GOES, one),
    put(SELECTOR_COMES, special),
    remove(SELECTOR_GOES, special),
    put(WIDE_COMES, wide),
    remove(WIDE_GOES, wide),
  ];
}

/** What was measured, by size and operation. */
class Samples {
  readonly #lists = new Map<
    string,
    { readonly size: WorldSize; operation: string; us: number[]; elements: number[] }
  >();

  add(size: WorldSize, operation: string, { us, elements }: { readonly us: number; readonly elements: number }): void {
    const key = `${size.policies} ${operation}`;
    const list = this.#lists.get(key) ?? { size, operation, us: [], elements: [] };
    this.#lists.set(key, list);
    list.us.push(us);
    list.elements.push(elements);
  }

  figures(): Figure[] {
    return [...this.#lists.values()].flatMap(({ size, operation, us, elements }) => [
      figure(operation, size, summarise(us, 'µs')),
      figure(elementsOf(operation), size, summarise(elements, 'elements')),
    ]);
  }
}

function figure(operation: string, { policies }: WorldSize, summary: Summary): Figure {
  return { operation, subject: TENET, scale: policies, ...summary };
}

function elementsOf(operation: string): string {
  return `${operation}: elements`;
}

/** @returns how much longer each change takes with many there than with few, for each element that it changes */
export function judgeScale(figures: readonly Figure[]): Target[] {
  const value = (operation: string, { policies }: WorldSize) =>
    figures.find((each) => each.operation === operation && each.scale === policies && each.subject === TENET)?.value ??
    Number.NaN;
  return CHANGE_OPERATIONS.map((operation) => {
    const growth = value(operation, MANY) / value(operation, FEW);
    const effect = Math.max(1, value(elementsOf(operation), MANY) / value(elementsOf(operation), FEW));
    return {
      what: `${operation}: time with ${formatCount(MANY.policies)} policies over ${FEW.policies}, for as many elements`,
      wanted: `≤ ${WANTED_GROWTH} ×`,
      measured: `${(growth / effect).toFixed(2)} ×`,
      met: growth / effect <= WANTED_GROWTH,
    };
  });
}

let collect: (() => void) | undefined;

/** What this process still needs of its memory. */
function usedMiB(): number {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}
