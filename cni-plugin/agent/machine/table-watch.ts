/**
 * How full the node's table of connections is, looked at again and again. While it is nearly full, each tenant's new flows are rationed:
 * closed ones, which no limit counts, stay in it for minutes.
 */
import type { ProblemBook } from '../../../controller/model/problems.ts';
import type { Desired } from '../desired/desired.ts';
import type { Reconciler } from '../reconcile/loop.ts';

export interface TableFill {
  readonly count: number;
  readonly size: number;
}

export interface TableWatchOptions {
  /** undefined: the kernel does not say, for its module is not loaded */
  readonly read: () => TableFill | undefined;
  readonly desired: Pick<Desired, 'setCrowded'>;
  readonly reconciler: Pick<Reconciler, 'request'>;
  readonly book: ProblemBook;
  /** a second unless given: an attack takes several to fill what is left */
  readonly everyMs?: number;
}

/** Parts of the table: from the first on new flows are rationed, until fewer than the second are left. */
const CROWDED = 3 / 4;
const ROOMY = 1 / 2;
/** what the problem is about */
const TABLE = 'table of connections';

export class TableWatch {
  readonly #options: TableWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #isCrowded = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), this.#options.everyMs ?? 1000);
    this.#timer.unref();
  }

  look(): void {
    const { read, desired, reconciler, book } = this.#options;
    const fill = read();
    if (fill === undefined) return;
    const part = fill.count / fill.size;
    const isCrowded = part >= CROWDED || (this.#isCrowded && part >= ROOMY);
    if (isCrowded === this.#isCrowded) return;
    this.#isCrowded = isCrowded;
    desired.setCrowded(isCrowded);
    reconciler.request();
    const text = `${fill.count} of ${fill.size} connections: new flows of each tenant are rationed`;
    if (isCrowded) book.note('table_crowded', { about: TABLE, text });
    else book.solved('table_crowded', TABLE);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
