/**
 * The beginning of a history of the store: until nodes have claimed again what they hold, no new claim is granted. Waits for its end,
 * and tells who is waited for. The leader ends it.
 */
import { enforcedBy } from '../model/kinds/enforced.ts';
import { liveNodes, nodes } from '../model/kinds/node.ts';
import { followingProblems } from '../store/findings.ts';
import { follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Store } from '../store/store.ts';
import type { Registry } from './registry.ts';

/** @returns whether it ended in time; a store that is away meanwhile only takes time */
export async function untilRecovered(registry: Registry, timeoutMs: number): Promise<boolean> {
  const { store, book, setDeadline } = registry;
  const deadline = setDeadline(timeoutMs);
  const ending = new AbortController();
  let isOver = false;
  deadline.signal.addEventListener('abort', () => ending.abort(), { once: true });
  const note = (isRecovering: boolean) => {
    if (isRecovering) return;
    isOver = true;
    ending.abort();
  };
  const sink = {
    snapshot: (entries: readonly { readonly key: string }[]) => note(entries.some(({ key }) => key === keys.recovery)),
    events: ({ events }: { readonly events: readonly { readonly kind: 'put' | 'delete' }[] }) =>
      note(events.at(-1)?.kind !== 'delete'),
  };
  try {
    await follow(store, keys.recovery, sink, ending.signal, followingProblems(book));
  } finally {
    deadline.cancel();
  }
  return isOver;
}

/**
 * Nodes that have not said in this history that they hold everything again, by name.
 * @param isAliveOnly leaves out those that are not alive
 * @throws Unavailable
 */
export async function unclaimedNodes(store: Store, history: string, isAliveOnly = false): Promise<string[]> {
  const [known, live, said] = await Promise.all([
    store.list(keys.nodes),
    store.list(keys.liveNodes),
    store.list(keys.allEnforced),
  ]);
  const done = new Set(
    said.entries.flatMap((entry) =>
      enforcedBy.find(entry)?.history === history ? (enforcedBy.place(entry.key)?.node ?? []) : [],
    ),
  );
  const names = isAliveOnly
    ? live.entries.flatMap(({ key }) => liveNodes.place(key)?.node ?? [])
    : known.entries.flatMap(({ key }) => nodes.place(key)?.name ?? []);
  return names.filter((node) => !done.has(node));
}
