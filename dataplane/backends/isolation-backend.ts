/**
 * Where isolation is enforced, as one interface: the nftables backend and the iptables backend hold the same desired state (elements
 * and the rule set of state.ts) in different kernel objects. Links and routes are the same for both and not their business. Types only.
 */
import type { Change } from '../diff.ts';
import type { Collection, Item, NodeState } from '../state.ts';

export type BackendName = 'nftables' | 'iptables';

export interface IsolationBackend {
  readonly name: BackendName;
  /** collections that this backend has no use for: they count as being as wanted */
  readonly ignores: ReadonlySet<Collection>;
  /**
   * Everything of this backend's in the kernel, as elements and rule set. Rules are found only if they are exactly those wanted, and
   * what a backend cannot tell of elements it says by not finding the rules.
   * @param desired the whole state that should be there
   */
  observe(desired: NodeState): Map<string, Item>;
  /**
   * Makes the changes of elements and rules among `changes`, others are ignored. Nothing in between allows what neither the old nor the
   * new state allows, and rules are in force with all their elements or not at all.
   * @param desired the whole state wanted, for a change that means writing all of it
   * @throws KernelError naming the object refused; read the kernel back then
   */
  apply(changes: readonly Change[], desired: NodeState): void;
  /**
   * Hears of changes by others that the kernel does not send notifications about.
   * @param onForeignChange told what is not as it was left, within seconds, or soon after `look`
   */
  watch(onForeignChange: (what: string) => void): {
    /** Something was heard of tables that iptables may have. */
    look(): void;
    close(): void;
  };
  /** Packets refused to pods and by them, by pod link, since its element was written. */
  refused(): ReadonlyMap<string, number>;
  /** Is anything of this backend's in the kernel? */
  exists(): boolean;
  /** Takes everything of this backend's out of the kernel: another one enforces by now. Idempotent. */
  remove(): void;
  close(): void;
}
