/**
 * In which order members of sets come and go: ipset has no transaction over all, and a packet between two pods needs a member on either
 * side: its sender may call, and its receiver may be called. So both sides are narrowed to what the old and the new state allow before
 * either is widened: then what neither state allows never passes. Pure.
 *
 *   1. what comes and allows nothing new
 *   2. what goes and takes nothing that stays
 *   3. what takes the place of something, then that      one direction after the other, one that loses something here first
 *   4. what else comes
 *
 * Left to the third are members that allow more than both states do and are not replaced by something within them, for their ports or
 * networks overlap a newcomer's in part. While one direction has these the other is narrow: such members of it go with the second step.
 * What both states allow passes throughout but in that case, of which only networks are capable.
 */
import type { IpsetSpec } from '../../codecs/ipset/member.ts';
import { type Claim, Claims, claimOf, type Direction } from './claims.ts';
import type { Membership } from './memberships.ts';
import { type PortSetRanges, Ports } from './port-table.ts';

/** Members to put in or to take out, all before the next step. */
export interface Step {
  readonly op: 'add' | 'del';
  readonly members: readonly Membership[];
}

/** @param portSets of members that go as well as of those that come */
export function ordered(removed: readonly Membership[], added: readonly Membership[], portSets: PortSetRanges): Step[] {
  const ports = new Ports(portSets);
  const [goes, comes] = [claimsOf(removed), claimsOf(added)];
  const [gone, come] = [new Claims(goes.claims), new Claims(comes.claims)];
  const elements = new Set(added.map(elementOf));
  const covered = comes.claims.filter(
    (claim) => !claim.isHole && gone.around(claim).some((other) => isWithin(claim, other, gone, ports)),
  );
  const early = new Set(covered);
  const isNeeded = (claim: Claim) =>
    come.over(claim).some((other) => !early.has(other) && isAtOdds(claim, other, ports));
  // What is a hole now and was a member, or the other way round, is one element of the kernel's: it goes just before it comes.
  const isTurned = ({ membership }: Claim) => elements.has(elementOf(membership));
  const turned = new Set(goes.claims.filter(isTurned));
  const late = new Set(goes.claims.filter((claim) => !turned.has(claim) && (claim.isHole || isNeeded(claim))));
  // A hole in what is there already takes something away.
  const isInNew = (hole: Claim) => come.around(hole).some((other) => !other.isHole && listOf(other) === listOf(hole));
  const takers = new Claims([...late, ...comes.claims.filter((claim) => claim.isHole && !isInNew(claim))]);
  // A pod that was allowed nothing before waits until all that speaks of it is as it shall be.
  const isReplacement = (claim: Claim) =>
    claim.kind === 'some'
      ? gone.over(claim).some(({ kind }) => kind === 'all' || kind === 'some')
      : claim.isHole || takers.over(claim).some((other) => ports.meet(other.portSet, claim.portSet));
  const rest = comes.claims.filter((claim) => !early.has(claim));
  const replacing = new Set(rest.filter(isReplacement));
  const isReplaced = (claim: Claim) =>
    claim.isHole || come.around(claim).some((other) => isWithin(claim, other, come, ports));
  const losing = new Set([...late].filter((claim) => !isReplaced(claim)));
  const first = [...losing][0]?.direction ?? 'egress';
  // The other direction stays as it is while the first changes, so that it must allow nothing then that it loses.
  const closed = new Set([...losing].filter(({ direction }) => direction !== first));
  const staying = [...late].filter((claim) => !closed.has(claim));
  const of = (claims: Iterable<Claim>, wanted: (claim: Claim) => boolean) =>
    [...claims].filter(wanted).map(({ membership }) => membership);
  const exchange = (direction: Direction): Step[] => {
    const here = (claim: Claim) => claim.direction === direction;
    const isPair = ({ kind }: Claim) => kind === 'all' || kind === 'p' || kind === 'some';
    const isMember = (claim: Claim) => here(claim) && !claim.isHole;
    return [
      { op: 'del', members: of(turned, here) },
      // Holes before what they are in, and after it when it goes.
      { op: 'add', members: of(replacing, (claim) => here(claim) && claim.isHole && isInNew(claim)) },
      { op: 'add', members: of(replacing, (claim) => isMember(claim) && isPair(claim)) },
      // Networks that come are not for pods that are in `some` no longer.
      { op: 'del', members: of(staying, (claim) => isMember(claim) && claim.kind === 'some') },
      { op: 'add', members: of(replacing, (claim) => isMember(claim) && !isPair(claim)) },
      { op: 'add', members: of(replacing, (claim) => here(claim) && claim.isHole && !isInNew(claim)) },
      { op: 'del', members: of(staying, (claim) => isMember(claim) && claim.kind !== 'some') },
      { op: 'del', members: of(staying, (claim) => here(claim) && claim.isHole) },
    ];
  };
  const steps: Step[] = [
    { op: 'add', members: of(covered, () => true) },
    {
      op: 'del',
      members: [
        ...goes.others,
        ...of(goes.claims, (claim) => closed.has(claim) || !(late.has(claim) || turned.has(claim))),
      ],
    },
    ...exchange(first),
    ...exchange(first === 'ingress' ? 'egress' : 'ingress'),
    { op: 'add', members: [...comes.others, ...of(rest, (claim) => !replacing.has(claim))] },
  ];
  return withEntries(steps, removed.filter(isEntry), added.filter(isEntry));
}

/** Is it a set's place in a list? */
export function isEntry({ set }: Membership): boolean {
  return set.type === 'list:set';
}

/** A set enters its list with the first members it gets, and leaves it before the last it loses: half of it must not be there. */
function withEntries(steps: readonly Step[], removed: readonly Membership[], added: readonly Membership[]): Step[] {
  const merged: Step[] = [];
  for (const step of steps) {
    const last = merged.at(-1);
    if (step.members.length === 0) continue;
    if (last?.op === step.op) merged[merged.length - 1] = { op: step.op, members: [...last.members, ...step.members] };
    else merged.push(step);
  }
  const touches = (name: string | undefined, op: Step['op']) => (step: Step) =>
    step.op === op && step.members.some(({ set }) => set.name === name);
  const [leaving, entering] = [new Map<Step | undefined, Membership[]>(), new Map<Step | undefined, Membership[]>()];
  const put = (map: typeof leaving, step: Step | undefined, entry: Membership) =>
    map.set(step, [...(map.get(step) ?? []), entry]);
  for (const entry of removed) put(leaving, merged.findLast(touches(entry.member.set, 'del')), entry);
  for (const entry of added) put(entering, merged.find(touches(entry.member.set, 'add')), entry);
  const withThem = merged.map(
    (step): Step => ({
      op: step.op,
      members: [...(leaving.get(step) ?? []), ...bySet(step.members), ...(entering.get(step) ?? [])],
    }),
  );
  return [
    { op: 'del', members: leaving.get(undefined) ?? [] } as const,
    ...withThem,
    { op: 'add', members: entering.get(undefined) ?? [] } as const,
  ].filter(({ members }) => members.length > 0);
}

/** Those that speak of pods, and those that do not; without sets' places in lists. */
function claimsOf(memberships: readonly Membership[]) {
  const claims: Claim[] = [];
  const others: Membership[] = [];
  for (const membership of memberships) {
    if (isEntry(membership)) continue;
    const claim = claimOf(membership);
    if (claim === undefined) others.push(membership);
    else claims.push(claim);
  }
  return { claims, others };
}

/**
 * Does a claim allow nothing that another one around it does not, of those that come or go with that? In networks there may be holes, and
 * what is said of addresses counts only for pods in `some`, as those that are in `p` always are.
 */
function isWithin(claim: Claim, other: Claim, those: Claims, ports: Ports): boolean {
  if (other.kind === 'all') return true;
  if (claim.kind === 'some') return other.kind === 'some';
  if (other.isHole || !ports.holds(other.portSet, claim.portSet)) return false;
  return other.kind === 'p' || (other.kind === 'hosts' && those.around(claim).some(({ kind }) => kind === 'some'));
}

/** May what one takes away be among what the other, which is not there yet, allows? */
function isAtOdds(claim: Claim, other: Claim, ports: Ports): boolean {
  if (other.isHole) return false;
  // Without it no pod is allowed anything, unless everything.
  if (claim.kind === 'some') return other.kind === 'all' || other.kind === 'some';
  return other.kind === 'some' ? false : ports.meet(claim.portSet, other.portSet);
}

function listOf({ pod, kind, portSet }: Claim): string {
  return `${pod} ${kind} ${portSet}`;
}

function elementOf({ set, member }: Membership): string {
  return `${set.name} ${member.address} ${member.link}`;
}

/** Those of one set together: they share a message. */
function bySet(memberships: readonly Membership[]): Membership[] {
  const groups = new Map<IpsetSpec, Membership[]>();
  for (const each of memberships) {
    const group = groups.get(each.set);
    if (group === undefined) groups.set(each.set, [each]);
    else group.push(each);
  }
  return [...groups.values()].flat();
}
