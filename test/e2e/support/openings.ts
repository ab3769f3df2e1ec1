/**
 * Holes made on purpose: rules of Tenet's are taken out of a node while its agent is frozen, so that a test can see its packet arrive and
 * knows what had stopped it; then the agent goes on and mends its rules itself.
 */
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { inside } from './node-state.ts';

/** Rules to take out: all of a chain whose comment is this, but for the hash at its end. */
export interface Cut {
  /** name of a compute or gateway node */
  readonly node: string;
  readonly chain: string;
  readonly comment: string;
}

/** Runs `body` without the rules, then waits until the agents have put them back. @throws Error if there is no such rule */
export async function without<T>(lab: Lab, cuts: readonly Cut[], body: () => Promise<T>): Promise<T> {
  const before = await Promise.all(cuts.map((cut) => handlesOf(lab, cut)));
  try {
    return await frozen(lab, [...new Set(cuts.map(({ node }) => node))], async () => {
      for (const [index, { node, chain }] of cuts.entries()) {
        const deletions = (before[index] ?? []).map((handle) => `delete rule inet tenet ${chain} handle ${handle};`);
        await inside(lab.host(node), `nft '${deletions.join(' ')}'`);
      }
      return await body();
    });
  } finally {
    for (const [index, cut] of cuts.entries())
      await waitFor(async () => (await handlesOf(lab, cut)).length === before[index]?.length, {
        what: `${cut.node}'s agent puts back ${cut.chain}: ${cut.comment}`,
      });
  }
}

/** Runs `body` while agents are stopped and mend nothing. */
export async function frozen<T>(lab: Lab, nodes: readonly string[], body: () => Promise<T>): Promise<T> {
  for (const node of nodes) await lab.killAgent(node, 'SIGSTOP');
  try {
    return await body();
  } finally {
    for (const node of nodes) await lab.killAgent(node, 'SIGCONT');
  }
}

async function handlesOf(lab: Lab, { node, chain, comment }: Cut): Promise<readonly string[]> {
  const listed = await inside(lab.host(node), `nft -a list chain inet tenet ${chain}`);
  const lines = listed.split('\n').filter((line) => line.includes(`comment "${comment} #`));
  if (lines.length === 0) throw new Error(`${node} has no rule "${comment}" in ${chain}:\n${listed}`);
  return lines.map((line) => / # handle (\d+)$/.exec(line)?.[1] ?? '');
}
