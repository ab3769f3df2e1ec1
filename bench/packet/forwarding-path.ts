/**
 * The way of the measured packets: a pod, its node, another pod of that node, each a network namespace, wired as Tenet wires them. The
 * receiver counts and throws away. What rules the node has is for the caller; the way is always the same.
 */

import type { BackendName } from '../../dataplane/backends/isolation-backend.ts';
import { diff } from '../../dataplane/diff.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import { podLinkName } from '../../dataplane/ownership.ts';
import type { NodeState } from '../../dataplane/state.ts';
import { BenchNamespace } from '../namespace.ts';
import { FrameSender, type FrameTrain, packetsReceived } from '../system/frame-train.ts';
import { BEHIND_RECEIVER, RECEIVER, SENDER, UNDERLAY } from './known-world.ts';

const MTU = 1450;

export class ForwardingPath {
  readonly node = new BenchNamespace();
  readonly #pods = [new BenchNamespace(), new BenchNamespace()] as const;
  readonly #dataplane: KernelDataplane;
  readonly #sender: FrameSender;

  /**
   * @param state of the node, as the agent would want it; without rules and elements nothing is filtered
   * @param backend that enforces it
   * @throws Error if something of it cannot be made
   */
  constructor(state: NodeState, backend: BackendName) {
    this.#dataplane = this.node.run(() => KernelDataplane.open({ backend }));
    try {
      const { name } = this.#dataplane.backend;
      if (name !== backend) throw new Error(`this build enforces by ${name} instead`);
      ip(this.node, [
        `link add ${UNDERLAY.link} type veth peer name far0`,
        `address add ${UNDERLAY.address}/24 dev ${UNDERLAY.link}`,
        `link set ${UNDERLAY.link} up`,
      ]);
      this.node.run(() => this.#wire(state));
      const way = `via ${RECEIVER.ips[0]} dev ${podLinkName(RECEIVER.id)} onlink`;
      ip(
        this.node,
        BEHIND_RECEIVER.map((prefix) => `route add ${prefix} ${way}`),
      );
      // Frames are for another MAC now: counted, and dropped before anything looks into them.
      ip(this.#pods[1], [`link set ${RECEIVER.ifname} address 0a:58:00:00:00:01`]);
      this.#sender = new FrameSender(this.#pods[0], SENDER.ifname);
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  #wire(state: NodeState): void {
    for (const [index, { id, ifname, mac, ips }] of [SENDER, RECEIVER].entries()) {
      const netns = this.#pods[index]?.path ?? '';
      this.#dataplane.createPod({ link: podLinkName(id), netns, ifname, mac, mtu: MTU, addresses: ips });
    }
    const failures = this.#dataplane.apply(diff(state, new Map()), state);
    for (const [key, error] of failures) throw new Error(`${key}: ${error.message}`, { cause: error });
  }

  /** Every frame is forwarded, or dropped, before this returns. @throws KernelError */
  send(train: FrameTrain, from: number, count: number): void {
    this.#sender.send(train, from, count);
  }

  /** Frames that have arrived at the receiver since it was made. */
  arrived(): number {
    return this.#pods[1].run(() => packetsReceived(RECEIVER.ifname));
  }

  /** Ends every tracked flow of the node. */
  forgetFlows(): void {
    this.node.exec(['conntrack', '-F'], '');
  }

  close(): void {
    this.#sender.close();
    this.#release();
  }

  #release(): void {
    this.#dataplane.close();
    for (const namespace of [this.node, ...this.#pods]) namespace.close();
  }
}

function ip(namespace: BenchNamespace, commands: readonly string[]): void {
  namespace.exec(['ip', '-batch', '-'], `${commands.join('\n')}\n`);
}
