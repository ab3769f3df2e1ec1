/**
 * What follows from a pass of the reconciler: what the kernel has is acknowledged, what it refuses becomes a problem, and what only
 * packets under way may still need is swept later.
 */
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { ERRNO, isErrno, KernelError } from '../../../dataplane/errors.ts';
import { POD_LINK_PREFIX } from '../../../dataplane/ownership.ts';
import { type Item, itemKey, itemLink } from '../../../dataplane/state.ts';
import type { AgentContext } from '../context.ts';
import type { Acknowledger } from '../reports/acknowledger.ts';
import type { Pass } from './loop.ts';
import { apartFrom, judgeRefused } from './refusals.ts';
import type { Sweeper } from './sweeper.ts';

export interface AfterPassOptions {
  readonly context: AgentContext;
  readonly acknowledger: Acknowledger;
  readonly sweeper: Sweeper;
  readonly book: ProblemBook;
}

/** What all isolation is in: a pass that fails as a whole is about it. */
const RULES = 'rules';

export class AfterPass {
  readonly #options: AfterPassOptions;

  constructor(options: AfterPassOptions) {
    this.#options = options;
  }

  /** Call it after each pass. */
  judge(pass: Pass): void {
    const { context, acknowledger, sweeper, book } = this.#options;
    const { log, snapshot, journal, dataplane, view } = context;
    for (const change of pass.changes) if (change.op === 'replace') this.#followMtu(change.item, change.previous);
    const fields = { op: 'apply', changes: pass.changes.length, resync: pass.resync, ms: round(pass.durationMs) };
    if (pass.error !== undefined) {
      log.debug({ ...fields, err: pass.error }, 'not applied; trying again');
      const text = pass.error instanceof Error ? pass.error.message : String(pass.error);
      book.note(pass.error instanceof KernelError ? 'kernel_refused' : 'fault', { about: RULES, text });
      return;
    }
    const failures = this.#withoutGone(pass);
    const tenantOf = (id: string) => journal.endpoints.get(id)?.endpoint.tenant;
    const { concerned, findings } = judgeRefused(pass.changes, failures, snapshot, tenantOf);
    book.solved('fault', RULES);
    book.replace('kernel_refused', findings);
    for (const [key, error] of failures) log.debug({ op: 'apply', item: key, err: error }, 'not applied; trying again');
    dataplane.retireOthers();
    sweeper.applied();
    // What the kernel refuses is not in it, nor is an update that cannot be read.
    const apart = concerned === 'all' ? 'all' : apartFrom(concerned, snapshot.tenantsBehind());
    // While changes do not arrive, what did arrive proves nothing.
    if (apart !== 'all' && view.trouble === undefined) acknowledger.applied(apart);
    if (failures.size === 0 && (pass.changes.length > 0 || pass.resync)) log.debug(fields, 'applied');
  }

  /** A pod link that is gone took its container's interface along: nothing to repair until DEL. */
  #withoutGone({ changes, failures }: Pass): Pass['failures'] {
    const { log, desired } = this.#options.context;
    const left = new Map(failures);
    for (const { item } of failures.size === 0 ? [] : changes) {
      if (item.kind !== 'podLink' || !isErrno(failures.get(itemKey(item)), ERRNO.ENODEV)) continue;
      const id = item.name.slice(POD_LINK_PREFIX.length);
      log.warn({ op: 'apply', endpoint: id }, 'the container’s link is gone');
      desired.removeEndpoint(id);
      for (const other of changes) if (itemLink(other.item) === item.name) left.delete(itemKey(other.item));
    }
    return left;
  }

  /** A container's own end of the link has the MTU of the host's end. */
  #followMtu(link: Item, previous: Item): void {
    if (link.kind !== 'podLink' || previous.kind !== 'podLink' || link.mtu === previous.mtu) return;
    const { journal, dataplane } = this.#options.context;
    const local = journal.endpoints.get(link.name.slice(POD_LINK_PREFIX.length));
    if (local !== undefined) dataplane.setPodMtu(local.netns, local.endpoint.ifname, link.mtu);
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
