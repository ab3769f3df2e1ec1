/**
 * `tenetctl denials`: lists the packets of a tenant that were denied recently. With --follow it streams new denials, reconnects
 * after a lost connection, and ends when interrupted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type Connection, isJson, type Json } from '../connection.ts';
import { DenialTable, formatQuestion, identify } from '../denials.ts';
import type { ServerEvent } from '../events.ts';
import { CliFailure, EXIT } from '../failures.ts';
import { formatObjects } from '../output.ts';
import { denialsPath } from '../paths.ts';
import type { OpenSession, Session } from '../terminal.ts';
import { wholeNumber } from './options.ts';

interface DenialOptions {
  readonly follow?: boolean;
  readonly namespace?: string;
  readonly output?: 'json';
  readonly limit: number;
}

type Query = Readonly<Record<string, string>>;

/** As many as REST lists at once. */
const MOST = 1000;

/** Clocks of nodes may differ so much; what a new connection repeats for that is known by its number. */
const CLOCK_SKEW_MS = 10_000;

/** Numbers of denials that are remembered: more than a new connection can repeat. */
const REMEMBERED = 5 * MOST;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3000;

export function addDenials(program: Command, open: OpenSession): void {
  program
    .command('denials')
    .description('list recently denied packets of a tenant (a sample); --follow streams new ones')
    .argument('<tenant>')
    .option('-f, --follow', 'stream new denials until interrupted; reconnect if the connection is lost')
    .option('-n, --namespace <namespace>', 'only denials with either end in this namespace')
    .option('--limit <number>', 'number of recent denials to show, 1000 at most', wholeNumber, 100)
    .addOption(new Option('-o, --output <format>', 'the JSON of REST; with --follow one a line').choices(['json']))
    .addHelpText('after', EXAMPLE)
    .action(async (tenant: string, options: DenialOptions, command: Command) => {
      const session = open(command);
      const query = options.namespace === undefined ? {} : { namespace: options.namespace };
      if (options.follow === true) await new Follower(session, tenant, options, query).run(session.interrupted());
      else await showLatest(session, tenant, options, query);
    });
}

async function showLatest(session: Session, tenant: string, options: DenialOptions, query: Query): Promise<void> {
  const { body, latest } = await readLatest(session.connection, tenant, { ...query, limit: String(options.limit) });
  if (options.output !== undefined)
    session.out(formatObjects(options.output, body, [], { columns: [], reference: () => '' }, session.nowMs()));
  else if (latest.length === 0) session.err('No denials found.\n');
  else {
    const table = new DenialTable(tenant, latest);
    session.out(table.formatTitles() + latest.map((denial) => table.formatRow(denial)).join(''));
    hint(session, tenant, latest);
  }
}

/** @returns oldest first, as a log is read */
async function readLatest(
  connection: Connection,
  tenant: string,
  query: Query,
): Promise<{ body: Json; latest: Json[] }> {
  const { body } = await connection.request('GET', denialsPath(tenant), { query });
  if (!isJson(body) || !Array.isArray(body.items))
    throw new CliFailure(EXIT.failure, `${connection.server} did not answer with a list of denials`);
  return { body, latest: body.items.filter(isJson).reverse() };
}

function hint({ err }: Session, tenant: string, latest: readonly Json[]): void {
  const newest = latest.at(-1);
  const question = newest && formatQuestion(tenant, newest);
  if (question !== undefined) err(`  hint: ${question} says why\n`);
}

/** Says each denial once, whatever becomes of the connection. */
class Follower {
  readonly #session: Session;
  readonly #tenant: string;
  readonly #options: DenialOptions;
  readonly #query: Query;
  readonly #said = new Set<string>();
  #table: DenialTable | undefined;
  /** the newest that was said, by its node's clock */
  #newestMs: number;
  #pauseMs = FIRST_PAUSE_MS;
  #saidLost = false;

  constructor(session: Session, tenant: string, options: DenialOptions, query: Query) {
    this.#session = session;
    this.#tenant = tenant;
    this.#options = options;
    this.#query = query;
    this.#newestMs = session.nowMs();
  }

  /** Until `signal` aborts. @throws CliFailure if it cannot begin, or the tenant is gone */
  async run(signal: AbortSignal): Promise<void> {
    let wasOpen = false;
    while (!signal.aborted) {
      try {
        const events = await this.#open(wasOpen, signal);
        if (!wasOpen) await this.#begin();
        if (this.#saidLost) this.#session.err('tenetctl: connected again\n');
        this.#saidLost = false;
        wasOpen = true;
        this.#pauseMs = FIRST_PAUSE_MS;
        for await (const event of events) this.#hear(event);
      } catch (error) {
        if (signal.aborted) return;
        if (!wasOpen || !(error instanceof CliFailure) || error.exitCode !== EXIT.unreachable) throw error;
      }
      await this.#pause(signal);
    }
  }

  /** Says that the connection is lost when it does not come back at the first try. */
  async #pause(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    if (this.#pauseMs > FIRST_PAUSE_MS && !this.#saidLost) {
      this.#session.err(`tenetctl: the connection to ${this.#session.connection.server} is lost; trying again\n`);
      this.#saidLost = true;
    }
    await sleep(this.#pauseMs, undefined, { signal }).catch(() => undefined);
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  async #open(again: boolean, signal: AbortSignal): Promise<AsyncIterable<ServerEvent>> {
    const since = new Date(this.#newestMs - CLOCK_SKEW_MS).toISOString();
    const query = { ...this.#query, follow: 'true', ...(again ? { since } : {}) };
    return await this.#session.connection.openEvents(denialsPath(this.#tenant), query, signal);
  }

  /** What there is already. Read once the stream is open, so that nothing falls between them. */
  async #begin(): Promise<void> {
    const { output, limit } = this.#options;
    const { latest } = await readLatest(this.#session.connection, this.#tenant, {
      ...this.#query,
      limit: String(MOST),
    });
    const shown = limit === 0 ? [] : latest.slice(-limit);
    for (const denial of latest) this.#remember(denial);
    if (output === undefined) {
      this.#table = new DenialTable(this.#tenant, shown);
      this.#session.out(this.#table.formatTitles());
    }
    for (const denial of shown) this.#show(denial);
    if (output === undefined) hint(this.#session, this.#tenant, shown);
  }

  #hear({ event, data }: ServerEvent): void {
    const body: unknown = JSON.parse(data);
    if (event === 'gone')
      throw new CliFailure(EXIT.notFound, `tenant ${JSON.stringify(this.#tenant)} has been deleted`);
    if (!isJson(body)) return;
    if (event === 'skipped') this.#session.err(`tenetctl: ${String(body.count)} more denials are not shown\n`);
    if (event !== 'denial' || this.#said.has(identify(body))) return;
    this.#remember(body);
    this.#show(body);
  }

  #remember(denial: Json): void {
    const atMs = Date.parse(String(denial.at));
    // Before any was said it is our own clock's; nodes' own is the better.
    if (this.#said.size === 0 || atMs > this.#newestMs) this.#newestMs = atMs || this.#newestMs;
    this.#said.add(identify(denial));
    const [oldest] = this.#said;
    if (this.#said.size > REMEMBERED && oldest !== undefined) this.#said.delete(oldest);
  }

  #show(denial: Json): void {
    this.#session.out(this.#table?.formatRow(denial) ?? `${JSON.stringify(denial)}\n`);
  }
}

const EXAMPLE = `
The list is a sample: each node reports a few denials a second. The controller's /metrics counts all of them. DIRECTION tells where a
packet was denied: egress on the node that sent it, ingress on the node where it arrived. tenetctl explain tells why.

Examples:
  tenetctl denials blue
  tenetctl denials blue -n web --follow
  tenetctl denials blue --follow --limit 0 -o json | jq .from.name`;
