/**
 * `--wait`: asks the controller to answer when nodes have a write in their kernels, and says how that went, node by node. Reads
 * REST's JSON leniently.
 */
import { DEFAULT_WAIT_MS, MAX_WAIT_MS, parseDurationMs } from '../model/duration.ts';
import { isJson, type Json, type RequestOptions } from './connection.ts';
import { CliFailure, EXIT, invalidInput } from './failures.ts';
import type { Terminal } from './terminal.ts';

const OPTION = '--wait';

/** The value of `--wait` where it has none of its own. */
const DEFAULT = `${DEFAULT_WAIT_MS / 1000}s`;

/** `--wait` alone takes no word that follows: only what is joined to it by `=`. */
export function joinWait(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, index) => (arg === OPTION && (end < 0 || index < end) ? `${OPTION}=${DEFAULT}` : arg));
}

/** What a request that waits has more than others. @param wait as the option was given, if it was @throws CliFailure (invalid) */
export function waitRequest(wait: string | undefined): Pick<RequestOptions, 'query' | 'extraMs'> {
  if (wait === undefined) return {};
  const ms = parseDurationMs(wait);
  if (ms === undefined || ms <= 0 || ms > MAX_WAIT_MS)
    throw invalidInput([`wait: ${JSON.stringify(wait)} is not a duration such as 500ms, 10s or 1m, of at most 5m`]);
  return { query: { wait: 'enforced', timeout: wait }, extraMs: ms };
}

/** Is it the answer to a write that not every node had in time? */
export function isTooLate(body: unknown): boolean {
  return isJson(body) && isJson(body.status) && body.status.enforced !== true;
}

/** What nodes said of the writes of one command. */
export class Outcomes {
  readonly #lagging: string[] = [];

  /** Takes note of an answer. @param reference what was written, such as `tenant/blue` @returns a line for each node */
  note(reference: string, body: unknown): string {
    const status = isJson(body) && isJson(body.status) ? body.status : undefined;
    if (status === undefined) return '';
    const nodes = Array.isArray(status.nodes) ? status.nodes.filter(isJson) : [];
    if (isTooLate(body)) this.#lagging.push(`${reference} is not enforced everywhere${lateNodes(nodes)}`);
    if (nodes.length === 0 && status.enforced === true) return '  no node has anything to enforce yet\n';
    return nodes.map((node) => `  ${String(node.node)}: ${describe(node)}\n`).join('');
  }

  /** @throws CliFailure naming what is not enforced, and where */
  check(): void {
    if (this.#lagging.length === 0) return;
    const hint = 'the change is stored, and nodes enforce it as soon as they can: tenetctl node status';
    throw new CliFailure(EXIT.unreachable, this.#lagging.join('\n'), hint);
  }
}

/** For commands that print no lines of their own: notes the answer and prints, unless a format was asked for. */
export function reportOutcome(terminal: Terminal, reference: string, body: unknown, isQuiet: boolean): void {
  const outcomes = new Outcomes();
  const lines = outcomes.note(reference, body);
  if (!isQuiet) terminal.out(lines);
  outcomes.check();
}

function isLate(node: Json): boolean {
  return node.latencyMs === undefined;
}

function describe(node: Json): string {
  if (!isLate(node)) return `enforced after ${String(node.latencyMs)} ms`;
  return node.alive === false ? 'not enforced: its agent is dead' : 'not enforced yet';
}

/** `: node2, node3 (dead)` */
function lateNodes(nodes: readonly Json[]): string {
  const late = nodes.filter(isLate).map((node) => `${String(node.node)}${node.alive === false ? ' (dead)' : ''}`);
  return late.length === 0 ? '' : `: ${late.join(', ')}`;
}
