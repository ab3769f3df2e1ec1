/**
 * What an agent's dataplane does for one endpoint and for one identity: the product's own backend, with the whole node's state in it.
 * The same for every backend.
 */
import type { Change } from '../../dataplane/diff.ts';
import type { NodeState } from '../../dataplane/state.ts';
import type { BenchNamespace } from '../namespace.ts';
import { type Contestant, OPERATIONS } from './contestant.ts';
import { additions, planNode, removals } from './node-workload.ts';

/** A backend as far as it is measured. @see dataplane/backends/isolation-backend.ts */
export interface MeasuredBackend {
  apply(changes: readonly Change[], desired: NodeState): void;
  close(): void;
}

/** Each takes tens of microseconds. */
const TURNS = 110;

/** @param open in a namespace that it may use for its sockets and programs */
export function backendContestant(name: string, open: (namespace: BenchNamespace) => MeasuredBackend): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      const backend = open(namespace);
      try {
        const { desired, endpoint, block } = planNode(existing);
        // A link whose rules come and go is there all the time: ADD makes it first.
        namespace.exec(['ip', 'link', 'add', 'name', endpoint.link, 'type', 'veth', 'peer', 'name', 'peer0'], '');
        const apply = (changes: readonly Change[]) => namespace.run(() => backend.apply(changes, desired));
        apply(additions([...desired.values()]));
        const [added, removed] = [additions(endpoint.items), removals(endpoint.items)];
        const [own, others] = block;
        const handOver: readonly Change[] = [{ op: 'replace', item: others, previous: own }];
        const takeBack: readonly Change[] = [{ op: 'replace', item: own, previous: others }];
        let isOwn = true;
        const changeIdentity = () => {
          backend.apply(isOwn ? handOver : takeBack, desired);
          isOwn = !isOwn;
        };
        const operations = {
          [OPERATIONS.addEndpoint]: () => backend.apply(added, desired),
          [OPERATIONS.deleteEndpoint]: () => backend.apply(removed, desired),
          [OPERATIONS.changeIdentity]: changeIdentity,
        };
        return { subject: { name, turns: TURNS, operations }, close: () => backend.close() };
      } catch (error) {
        backend.close();
        throw error;
      }
    },
  };
}
