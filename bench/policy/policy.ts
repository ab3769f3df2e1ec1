/**
 * Network policies: from the REST call that changes one to the kernels of three nodes, and what one change costs a node that knows a
 * thousand of them.
 */
import { ENFORCED, judgeChanges, NODES } from '../propagation/changes.ts';
import type { Part, PartResult, RunOptions } from '../result.ts';
import { installedTools } from '../tools.ts';
import { DELETED, MADE, measurePropagation, REPLACED } from './policy-propagation.ts';
import { CHANGE_OPERATIONS, judgeScale, measureScale } from './scale.ts';

export const policy: Part = {
  name: 'policy',
  title: `Policies changed: from the REST call to ${NODES} nodes, and on a node that knows many`,
  scale: 'policies in the tenant',
  baseline: ENFORCED,
  charts: [
    { title: 'From the REST call to the answer, median', kind: 'bars', operations: [MADE, REPLACED, DELETED] },
    { title: 'From the records to the kernel, on one node, median', kind: 'bars', operations: CHANGE_OPERATIONS },
  ],
  run: runPolicy,
};

async function runPolicy(options: RunOptions): Promise<PartResult> {
  const tools = installedTools(['etcd', 'nft']);
  const scale = await measureScale('nft' in tools, options);
  const propagation = await measurePropagation(options);
  return {
    figures: [...propagation, ...scale],
    targets: [...judgeChanges(propagation, 'policies'), ...judgeScale(scale)],
    tools,
    skipped: [],
  };
}
