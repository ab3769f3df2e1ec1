/**
 * A table of faults: what each cost the messages of one flood that runs all along, what REST said meanwhile, and whether all was as before
 * afterwards. Whatever REST calls enforced is held against packets at once.
 */
import Table from 'cli-table3';
import { expect } from 'vitest';
import type { Container } from '../../lab/container.ts';
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { silentPairs } from './cluster.ts';
import type { Flood, FloodFlow } from './flood.ts';

interface Answer {
  /** a number in a problem document */
  readonly status?: { readonly enforced: boolean; readonly lagging?: readonly string[] } | number;
  readonly items?: readonly { readonly kind: string; readonly about: string; readonly tenant?: string }[];
  readonly detail?: string;
}

interface Row {
  readonly fault: string;
  readonly lost: string;
  readonly passed: string;
  readonly said: string;
  readonly recovery: string;
}

const DENY = { podSelector: {}, policyTypes: ['Ingress'] };

export interface FaultTableOptions {
  readonly lab: Lab;
  readonly flood: Flood;
  readonly flows: readonly FloodFlow[];
  /** a tenant that is closed and opened again and again, and two of its containers */
  readonly judged: { readonly tenant: string; readonly pair: readonly [Container, Container] };
}

export class FaultTable {
  readonly #options: FaultTableOptions;
  readonly #rows: Row[] = [];

  constructor(options: FaultTableOptions) {
    this.#options = options;
  }

  /** What REST says to a policy that closes a tenant, or to its end; if `enforced`, packets obey it. */
  async write(method: 'PUT' | 'DELETE', timeout: string, tenant = this.#options.judged.tenant): Promise<string> {
    const { lab, judged } = this.#options;
    const path = `/v1/tenants/${tenant}/namespaces/${tenant}/policies/deny?wait=enforced&timeout=${timeout}`;
    const { status, body } = await lab.rest<Answer>(method, path, method === 'PUT' ? DENY : undefined);
    if (typeof body.status !== 'object')
      return status === 404 ? 'nothing there' : `${status}: ${body.detail?.replace(/:.*/, '')}`;
    if (!body.status.enforced) return `${status}, lagging ${body.status.lagging?.join() ?? 'unknown'}`;
    if (tenant === judged.tenant) expect(await this.silent(), `silent after ${method}`).toBe(method === 'PUT' ? 2 : 0);
    return 'enforced';
  }

  /** Of the two containers, how many do not hear an answer of the other. */
  async silent(): Promise<number> {
    const { lab, judged } = this.#options;
    const [one, two] = judged.pair;
    const pairs = [
      [one, two],
      [two, one],
    ] as const;
    return (await silentPairs(lab, pairs)).length;
  }

  /** Each as `kind about`. */
  async problems(): Promise<readonly string[]> {
    const { body } = await this.#options.lab.rest<Answer>('GET', '/v1/cluster/problems?limit=1000');
    return (body.items ?? []).map(({ kind, about }) => `${kind} ${about}`);
  }

  /** Resolves once all of these are problems. */
  async untilTold(wanted: readonly string[]): Promise<void> {
    const look = async () => {
      const told = await this.problems();
      const untold = wanted.filter((each) => !told.includes(each));
      if (untold.length > 0) throw new Error(`not told: ${untold.join(', ')}; told: ${told.join(', ')}`);
      return true;
    };
    await waitFor(look, { what: 'it is told', everyMs: 100 });
  }

  /** One fault, and its end, as a row. @param fault breaks and mends; returns what REST said meanwhile */
  async suffer(name: string, fault: () => Promise<string>): Promise<void> {
    const { flood } = this.#options;
    const before = await this.#count();
    let said = '';
    let recovery = 'not as before';
    try {
      said = await fault();
      await this.#untilWell();
      recovery = 'enforced, no problem left';
      await flood.passes(20);
    } finally {
      const after = await this.#count();
      const lost = after.lost - before.lost;
      const passed = after.passed - before.passed;
      const row = { fault: name, lost: `${lost} of ${after.sent - before.sent}`, said, recovery };
      this.#rows.push({ ...row, passed: `${passed} of ${after.tried - before.tried}` });
      expect({ lost, passed }, name).toEqual({ lost: 0, passed: 0 });
    }
  }

  print(title: string): void {
    if (this.#rows.length === 0) return;
    const table = new Table({
      head: ['fault', 'allowed lost', 'forbidden passed', 'wait=enforced meanwhile', 'afterwards'],
      style: { head: [], border: [], compact: true },
    });
    for (const { fault, lost, passed, said, recovery } of this.#rows) table.push([fault, lost, passed, said, recovery]);
    process.stdout.write(`\n${title}\n${table}\n`);
  }

  async #untilWell(): Promise<void> {
    const look = async () => {
      const said = [await this.write('PUT', '30s'), await this.write('DELETE', '30s')];
      const told = await this.problems();
      if (said.join() !== 'enforced,enforced' || told.length > 0) throw new Error([...said, ...told].join('; '));
      return true;
    };
    await waitFor(look, { what: 'all is well again', timeoutMs: 120_000 });
  }

  async #count(): Promise<{ sent: number; lost: number; tried: number; passed: number }> {
    const { flood, flows } = this.#options;
    const counts = await flood.settled();
    const sum = { sent: 0, lost: 0, tried: 0, passed: 0 };
    for (const [index, { sent, echoed, delivered }] of counts.entries()) {
      if (flows[index]?.forbidden) {
        sum.tried += sent;
        sum.passed += delivered;
      } else {
        sum.sent += sent;
        sum.lost += sent - echoed;
      }
    }
    return sum;
  }
}
