/**
 * Problems: what a person must know and a restart would not mend. Each has a kind and says what it is about; it begins, may change its
 * text, and is over once whatever found it says so. The same book serves an agent, which tells the cluster, and a controller. Pure.
 */

/** What each kind means, and what to do about it; a kind never changes its meaning. */
export const PROBLEM_KINDS = {
  record_unreadable: {
    meaning: 'a record of the store cannot be read: it counts as absent, or its last readable version stays in force',
    remedy:
      'Write the object again through REST, or delete the key. A newer version may have written it: then update this one.',
  },
  kernel_refused: {
    meaning: 'the kernel of a node refuses what should be in it',
    remedy: 'Look on the node for another program’s object in its place (a link, route or rule), and remove that.',
  },
  not_followed: {
    meaning: 'changes of the store do not arrive here: it is read again and again',
    remedy: 'Look at the key or reason that the text names; the log has the whole error.',
  },
  store_refused: {
    meaning: 'something could not be written to the store or read from it, though the store answers',
    remedy: 'Look at the key or reason that the text names; the log has the whole error.',
  },
  store_full: {
    meaning: 'etcd refuses writes, for its database space is used up or damaged',
    remedy: 'Compact its history, defragment every member, then disarm the alarm (etcdctl alarm disarm).',
  },
  store_filling: {
    meaning: 'the database of an etcd member is filling up: when it is full etcd refuses writes',
    remedy: 'See that its history is compacted, defragment the member, or raise --quota-backend-bytes.',
  },
  backup_old: {
    meaning: 'the cluster has no recent backup: without one a loss of etcd is a loss of all tenants',
    remedy: 'Run tenetctl backup FILE, best by a timer. Where etcd is copied by other means: --warn-backup-days 0.',
  },
  table_crowded: {
    meaning: 'the table of connections of a node is nearly full: new flows of each tenant are rationed',
    remedy: 'Find the tenant with many flows (conntrack -L on the node), or raise net.netfilter.nf_conntrack_max.',
  },
  store_replaced: {
    meaning:
      'the store was put back to an older copy: until nodes have claimed again what they hold, nothing new is given out',
    remedy: 'Wait: a dead node is waited for a minute. Then write again what the copy lacks, and look for place_taken.',
  },
  place_taken: {
    meaning: 'a container has an address that is not its node’s any more: it is cut off until it is deleted',
    remedy: 'Delete the container: its runtime makes it anew, with another address.',
  },
  not_counted: {
    meaning: 'a node cannot count or show refused packets: they are refused all the same',
    remedy: 'Look at the reason that the text names: another program may have taken the kernel’s log group.',
  },
  fault: {
    meaning: 'a fault of Tenet’s own: what it kept from being done is tried again',
    remedy: 'Report it, with the log.',
  },
} as const satisfies Readonly<Record<string, { readonly meaning: string; readonly remedy: string }>>;

export type ProblemKind = keyof typeof PROBLEM_KINDS;

export interface Problem {
  readonly kind: ProblemKind;
  /** a key of the store, an object of the kernel, or what was being done */
  readonly about: string;
  /** whose packets or changes it concerns, where that is one tenant's */
  readonly tenant?: string;
  /** RFC 3339 */
  readonly since: string;
  readonly text: string;
}

/** What a node tells of its problems; gone while it has none. Written only when they change. */
export interface NodeProblems {
  /** the oldest first, at most {@link MOST_TOLD} */
  readonly problems: readonly Problem[];
  /** so many more there are; absent: none */
  readonly more?: number;
}

/** What was found, without the time. */
export type Finding = Omit<Problem, 'since' | 'kind'>;

/** In one record: some 20 kilobytes. */
export const MOST_TOLD = 50;
const MOST_TEXT = 300;

export interface BookOptions {
  /** RFC 3339 */
  readonly now: () => string;
  /** a problem has begun, says something else now, or is over */
  readonly onChange?: (problem: Problem, change: 'begun' | 'changed' | 'ended') => void;
}

export class ProblemBook {
  readonly #options: BookOptions;
  readonly #problems = new Map<string, Problem>();

  constructor(options: BookOptions) {
    this.#options = options;
  }

  /** There is such a problem, perhaps since before. */
  note(kind: ProblemKind, { about, text, tenant }: Finding): void {
    const id = `${kind} ${about}`;
    const known = this.#problems.get(id);
    const said = { kind, about, ...(tenant === undefined ? {} : { tenant }) };
    const problem = { ...said, since: known?.since ?? this.#options.now(), text: shortened(text) };
    if (known?.text === problem.text && known.tenant === tenant) return;
    this.#problems.set(id, problem);
    this.#options.onChange?.(problem, known === undefined ? 'begun' : 'changed');
  }

  /** It is over, if it was there. */
  solved(kind: ProblemKind, about: string): void {
    const id = `${kind} ${about}`;
    const known = this.#problems.get(id);
    if (known === undefined) return;
    this.#problems.delete(id);
    this.#options.onChange?.(known, 'ended');
  }

  /** These are all of the kind that begin so: others are over. */
  replace(kind: ProblemKind, found: Iterable<Finding>, prefix = ''): void {
    const left = new Set<string>();
    for (const problem of this.#problems.values())
      if (problem.kind === kind && problem.about.startsWith(prefix)) left.add(problem.about);
    for (const each of found) {
      left.delete(each.about);
      this.note(kind, each);
    }
    for (const about of left) this.solved(kind, about);
  }

  /** The oldest first. */
  all(): readonly Problem[] {
    return [...this.#problems.values()].sort(compareProblems);
  }

  find(holds: (problem: Problem) => boolean): Problem | undefined {
    return this.all().find(holds);
  }
}

/** What a node writes of them; undefined when there is nothing to tell. */
export function toNodeProblems(all: readonly Problem[]): NodeProblems | undefined {
  if (all.length === 0) return undefined;
  const problems = all.slice(0, MOST_TOLD);
  return all.length > MOST_TOLD ? { problems, more: all.length - MOST_TOLD } : { problems };
}

/** Leaves out what is not of the shape it should be: a newer version may know more kinds. */
export function readNodeProblems(record: object): NodeProblems {
  const { problems, more } = record as { readonly problems?: unknown; readonly more?: unknown };
  const known = Array.isArray(problems) ? problems.filter(isProblem) : [];
  return Number.isSafeInteger(more) ? { problems: known, more: Number(more) } : { problems: known };
}

export function compareProblems(a: Problem, b: Problem): number {
  return a.since < b.since ? -1 : a.since > b.since ? 1 : `${a.kind} ${a.about}` < `${b.kind} ${b.about}` ? -1 : 1;
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, about, tenant, since, text } = value as Readonly<Record<string, unknown>>;
  const texts = [about, since, text, tenant ?? ''];
  return (
    typeof kind === 'string' && Object.hasOwn(PROBLEM_KINDS, kind) && texts.every((each) => typeof each === 'string')
  );
}

function shortened(text: string): string {
  return text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT - 1)}…`;
}
