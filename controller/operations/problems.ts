/** Problems of the whole cluster: what each node tells of itself, and what this controller finds. Reads only. */
import { Unavailable } from '../errors.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import { problems as problemsKind } from '../model/kinds/problems.ts';
import { compareProblems, type NodeProblems, type Problem, readNodeProblems } from '../model/problems.ts';
import { unreadableFinding } from '../store/findings.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Revision, Store } from '../store/store.ts';
import type { Registry } from './registry.ts';
import { getTenant } from './tenants.ts';

/** A problem, and where it was found: on a node, or by a controller. */
export interface PlacedProblem extends Problem {
  readonly node?: string;
  readonly controller?: string;
}

/** The oldest first. */
export interface ProblemList {
  readonly items: readonly PlacedProblem[];
  /** so many more there are */
  readonly more: number;
  readonly revision: Revision;
}

/** @param tenant absent: of all, and those that are no tenant's @throws NotFound for the tenant, Unavailable */
export async function listProblems(registry: Registry, limit: number, tenant?: string): Promise<ProblemList> {
  const { store, noticed } = registry;
  if (tenant !== undefined) await getTenant(store, tenant);
  await noticed.lookAgain();
  const { entries, revision } = await store.list(keys.allProblems);
  const told = entries.map((entry) => toldBy(entry, registry.now()));
  const own = registry.book.all().map((problem): PlacedProblem => ({ ...problem, controller: registry.name }));
  const all = [...told.flatMap(({ problems }) => problems), ...own].sort(compareProblems);
  const found = tenant === undefined ? all : all.filter((problem) => problem.tenant === tenant);
  // Which of those that a node left out are the tenant's is not known.
  const untold = tenant === undefined ? told.reduce((sum, { more = 0 }) => sum + more, 0) : 0;
  return { items: found.slice(0, limit), more: untold + Math.max(0, found.length - limit), revision };
}

interface Told extends NodeProblems {
  readonly problems: readonly PlacedProblem[];
}

/** What a node tells, by its record. */
export function readProblems(entry: Entry | undefined, now: Date): readonly Problem[] {
  return entry === undefined ? [] : toldBy(entry, now).problems;
}

/** For counting: all that are known just now; of nodes none while the store is away. */
export async function knownProblems(registry: Registry): Promise<readonly PlacedProblem[]> {
  try {
    return (await listProblems(registry, Number.POSITIVE_INFINITY)).items;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return registry.book.all().map((problem) => ({ ...problem, controller: registry.name }));
  }
}

/** By node; of those that tell any. */
export async function nodeProblems(store: Store, now: Date): Promise<ReadonlyMap<string, readonly Problem[]>> {
  const { entries } = await store.list(keys.allProblems);
  return new Map(entries.map((entry) => [nodeOf(entry), readProblems(entry, now)]));
}

function toldBy(entry: Entry, now: Date): Told {
  const node = nodeOf(entry);
  const record = problemsKind.read(entry);
  if (!(record instanceof Unreadable)) {
    const { problems, ...rest } = readNodeProblems(record);
    return { ...rest, problems: problems.map((problem) => ({ ...problem, node })) };
  }
  const kind = 'record_unreadable' as const;
  return { problems: [{ kind, ...unreadableFinding(record), node, since: now.toISOString() }] };
}

function nodeOf({ key }: Entry): string {
  return problemsKind.place(key)?.node ?? key;
}
