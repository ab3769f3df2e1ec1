/**
 * The one door between what is wanted and the kernel: read what is there of ours, make changes, say when another program changed
 * it, and wire a pod. kernel-dataplane.ts is the real one, fake-dataplane.ts the fake. Types only.
 */
import type { IpAddress, MacAddress } from './address.ts';
import type { Change } from './diff.ts';
import type { NodeState } from './state.ts';

/** A container's interface to be made: both ends, and everything inside the container's namespace. */
export interface PodSpec {
  /** host end; the name also tells the dataplane that it is ours */
  readonly link: string;
  /** path of the container's network namespace */
  readonly netns: string;
  /** final name inside the container */
  readonly ifname: string;
  readonly mac: MacAddress;
  readonly mtu: number;
  readonly addresses: readonly IpAddress[];
}

/** What a pod's interface looks like from inside, for CHECK. */
export interface PodView {
  readonly ifname: string;
  readonly mac: MacAddress;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly IpAddress[];
  readonly hasDefaultRoute: boolean;
  /** by the permanent entry that ADD made: no host answers ARP for it */
  readonly knowsGateway: boolean;
}

/** A packet that was refused to the pod behind a link, or by its own side. */
export interface Refusal {
  readonly link: string;
  /** `egress`: the pod sent it; `ingress`: it was for the pod */
  readonly direction: 'egress' | 'ingress';
  /** `policy`: no rule allows it; `flows`: the pod or its tenant has too many flows */
  readonly reason: 'policy' | 'flows';
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IP protocol number */
  readonly protocol: number;
  /** where there are ports */
  readonly destinationPort: number | undefined;
}

/** Packets of one pod link so far. */
export interface LinkTraffic {
  /** that reached the pod */
  readonly delivered: number;
  /** that were refused, to it or by its own side */
  readonly refused: number;
}

/** What could not be done, by item key. Everything else was done. */
export type Failures = ReadonlyMap<string, Error>;

export interface Dataplane {
  /**
   * Everything of ours in the kernel, whichever process put it there.
   * @param desired what should be there: rules are found only if they are exactly these, and what the kernel has no form for counts as
   * being there
   */
  observe(desired: NodeState): NodeState;
  /**
   * Makes changes in order. Isolation (elements, rules) is one transaction: when it is refused nothing is done and the error is
   * thrown. Links and routes are tried one by one: what fails is reported, the rest is done.
   * @param desired the whole state wanted, for a change that means writing all of it (a lost table)
   */
  apply(changes: readonly Change[], desired: NodeState): Failures;
  /** Everything wanted is in the kernel: what a former life enforced by another backend only stands in the way, and goes. */
  retireOthers(): void;
  /**
   * Calls back, soon and coalesced, after anyone but this process changed something of ours.
   * @param alsoLinks links of others that matter too
   */
  monitor(onForeignChange: (what: string) => void, alsoLinks: readonly string[]): { close(): void };
  /** Makes the veth, down on the host's side, and configures the container's. An interface left of an earlier try is replaced. */
  createPod(spec: PodSpec): void;
  /** Sets the MTU of a pod's own end, where its namespace can still be entered. */
  setPodMtu(netns: string, ifname: string, mtu: number): void;
  /** @returns undefined when the namespace or the interface is gone */
  viewPod(netns: string, ifname: string): PodView | undefined;
  /** Deletes one of our links (with a pod's host end its container's). True if there was one. Waits for the kernel without blocking. */
  deleteLink(link: string): Promise<boolean>;
  /** Host ends of pods that exist, known to anybody or not. */
  podLinks(): readonly string[];
  /** By pod link; counts begin again when a link or the rules are made anew. */
  traffic(): ReadonlyMap<string, LinkTraffic>;
  /**
   * Calls back for a few of the packets refused, at most some a second for each pod.
   * @throws KernelError when the kernel cannot show them, or shows them to another process
   */
  watchRefusals(onRefusal: (refusal: Refusal) => void): { close(): void };
  /** Ends every connection-tracking entry that involves one of the addresses. */
  forgetFlows(addresses: readonly IpAddress[]): Promise<void>;
  close(): void;
}
