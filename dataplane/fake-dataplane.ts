/**
 * A kernel in memory, for tests of what stands on a dataplane: the same promises, the next failure on demand. Where it lies: no
 * packet ever flows, links have no numbers, and nothing takes time.
 */
import type { IpAddress } from './address.ts';
import type { Dataplane, Failures, LinkTraffic, PodSpec, PodView, Refusal } from './dataplane.ts';
import { applyTo, type Change } from './diff.ts';
import { ERRNO, KernelError } from './errors.ts';
import { isPodLink } from './ownership.ts';
import { type Item, itemKey, itemLink, type NodeState, ruleSetOf } from './state.ts';

export class FakeDataplane implements Dataplane {
  /** what the kernel holds; tests may change it behind everybody's back and then call {@link disturb} */
  readonly kernel = new Map<string, Item>();
  /** pods by host link */
  readonly pods = new Map<string, PodSpec>();
  /** every call that changed something, in order */
  readonly calls: string[] = [];
  /** addresses whose flows were forgotten */
  readonly forgotten: IpAddress[] = [];
  readonly #failures: { readonly op: string; readonly error: Error }[] = [];
  readonly #listeners = new Set<(what: string) => void>();
  readonly #refusalListeners = new Set<(refusal: Refusal) => void>();

  /** The next call of this name (or the next change of an item with this key) fails. */
  failNext(op: string, errno: number): void {
    this.#failures.push({ op, error: new KernelError(op, 'fake', errno) });
  }

  /** As if another program had changed something. */
  disturb(what: string): void {
    for (const listener of this.#listeners) listener(what);
  }

  observe(desired: NodeState): NodeState {
    const state = new Map(this.kernel);
    const rules = state.get('rules');
    if (rules !== undefined && JSON.stringify(rules) !== JSON.stringify(ruleSetOf(desired))) state.delete('rules');
    return state;
  }

  apply(changes: readonly Change[], _desired: NodeState): Failures {
    this.#maybeFail('apply');
    const failures = new Map<string, Error>();
    for (const { item, op } of changes) {
      const key = itemKey(item);
      const failure = this.#takeFailure(key);
      if (failure !== undefined) failures.set(key, failure);
      else if (op !== 'remove' && !this.#hasLink(item)) failures.set(key, new KernelError(op, key, ERRNO.ENODEV));
    }
    applyTo(this.kernel, changes, failures);
    this.calls.push(`apply ${changes.length}`);
    return failures;
  }

  retireOthers(): void {}

  monitor(onForeignChange: (what: string) => void): { close(): void } {
    this.#listeners.add(onForeignChange);
    return { close: () => this.#listeners.delete(onForeignChange) };
  }

  createPod(spec: PodSpec): void {
    this.#maybeFail('createPod');
    this.pods.set(spec.link, spec);
    const born: Item = { kind: 'podLink', name: spec.link, mtu: spec.mtu, up: false };
    this.kernel.set(itemKey(born), born);
    this.calls.push(`createPod ${spec.link}`);
  }

  setPodMtu(netns: string, ifname: string, mtu: number): void {
    for (const [link, spec] of this.pods)
      if (spec.netns === netns && spec.ifname === ifname) this.pods.set(link, { ...spec, mtu });
  }

  viewPod(netns: string, ifname: string): PodView | undefined {
    const spec = [...this.pods.values()].find((each) => each.netns === netns && each.ifname === ifname);
    return (
      spec && {
        ifname,
        mac: spec.mac,
        mtu: spec.mtu,
        up: true,
        addresses: spec.addresses,
        hasDefaultRoute: true,
        knowsGateway: true,
      }
    );
  }

  async deleteLink(link: string): Promise<boolean> {
    this.#maybeFail('deleteLink');
    this.calls.push(`deleteLink ${link}`);
    const existed = this.pods.delete(link);
    for (const [key, item] of this.kernel) if (itemLink(item) === link) this.kernel.delete(key);
    return existed;
  }

  podLinks(): readonly string[] {
    return [...this.pods.keys()];
  }

  /** what a test says that links have carried */
  readonly carried = new Map<string, LinkTraffic>();

  traffic(): ReadonlyMap<string, LinkTraffic> {
    return new Map(this.carried);
  }

  watchRefusals(onRefusal: (refusal: Refusal) => void): { close(): void } {
    this.#maybeFail('watchRefusals');
    this.#refusalListeners.add(onRefusal);
    return { close: () => this.#refusalListeners.delete(onRefusal) };
  }

  /** The rules show a packet that they refused. */
  refuse(refusal: Refusal): void {
    for (const listener of this.#refusalListeners) listener(refusal);
  }

  async forgetFlows(addresses: readonly IpAddress[]): Promise<void> {
    this.calls.push(`forgetFlows ${addresses.join(' ')}`);
    this.forgotten.push(...addresses);
  }

  close(): void {
    this.#listeners.clear();
  }

  #hasLink(item: Item): boolean {
    const link = itemLink(item);
    return link === undefined || !isPodLink(link) || this.pods.has(link);
  }

  #maybeFail(op: string): void {
    const error = this.#takeFailure(op);
    if (error !== undefined) throw error;
  }

  #takeFailure(op: string): Error | undefined {
    const index = this.#failures.findIndex((failure) => failure.op === op);
    return index < 0 ? undefined : this.#failures.splice(index, 1)[0]?.error;
  }
}
