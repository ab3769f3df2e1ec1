/**
 * The beginning of a history of the store: until nodes have claimed again what they hold, no new claim is granted. Waits for its end,
 * and tells who is waited for. The leader ends it.
 */
import { enforcedBy } from '../model/kinds/enforced.ts';
import { nodes } from '../model/kinds/node.ts';
import { followingProblems } from '../store/findings.ts';
import { follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
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

/** Nodes that have not said yet that they hold everything again, by name. @throws Unavailable */
export async function unclaimedNodes({ store }: Registry): Promise<string[]> {
  const [all, said] = await Promise.all([store.list(keys.nodes), store.list(keys.allEnforced)]);
  const done = new Set(
    said.entries.flatMap((entry) =>
      enforcedBy.find(entry)?.history === store.history ? (enforcedBy.place(entry.key)?.node ?? []) : [],
    ),
  );
  return all.entries.flatMap(({ key }) => nodes.place(key)?.name ?? []).filter((node) => !done.has(node));
}
