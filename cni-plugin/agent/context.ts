/** What the verbs share: the parts of one agent. */
import type { Logger } from 'pino';
import type { ProblemBook } from '../../controller/model/problems.ts';
import type { Store } from '../../controller/store/store.ts';
import type { Dataplane } from '../../dataplane/dataplane.ts';
import type { Blocks } from './addresses/blocks.ts';
import type { Desired } from './desired/desired.ts';
import type { NodeFacts } from './desired/node-facts.ts';
import type { Journal } from './endpoints/journal.ts';
import type { Leaving } from './endpoints/leaving.ts';
import type { KeyedLock } from './keyed-lock.ts';
import type { Reconciler } from './reconcile/loop.ts';
import type { Publisher } from './reports/publisher.ts';
import type { ClusterView } from './watch/cluster-view.ts';
import type { Snapshot } from './watch/snapshot.ts';

export interface AgentContext {
  readonly facts: () => NodeFacts;
  readonly store: Store;
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly journal: Journal;
  readonly blocks: Blocks;
  readonly publisher: Publisher;
  readonly reconciler: Reconciler;
  readonly dataplane: Dataplane;
  /** what the kernel should hold; of endpoints those whose link exists */
  readonly desired: Desired;
  readonly locks: KeyedLock;
  readonly leaving: Leaving;
  /** what is wrong on this node */
  readonly book: ProblemBook;
  readonly log: Logger;
}
