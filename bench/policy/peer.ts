/**
 * Beside one policy's change the way of those who have a chain of rules for each policy: `nft -f -` that replaces one chain, whole, among
 * as many. A program has to be started for it, and its rules are looked at one after the other. Finding out which rules is not in it.
 */
import { BenchNamespace } from '../namespace.ts';

/** In each chain; about as many as the elements that Tenet changes for one policy. */
const RULES = 20;
export const PEER = `nft -f -, a chain of ${RULES} rules replaced`;
const TABLE = 'inet policies';

export class ChainPerPolicy {
  readonly #namespace = new BenchNamespace();
  readonly #chain: string;
  #port = 443;

  /** @throws Error where nft refuses */
  constructor(policies: number) {
    const chains = Array.from({ length: policies }, (_, index) => `p-${index}`);
    this.#chain = chains[0] ?? '';
    try {
      this.#run(
        `add table ${TABLE}\n${chains.map((chain) => `add chain ${TABLE} ${chain}\n${rules(chain, 80)}`).join('')}`,
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Its rules with another port. @returns microseconds */
  replace(): number {
    this.#port = this.#port === 443 ? 8443 : 443;
    const started = performance.now();
    this.#run(`flush chain ${TABLE} ${this.#chain}\n${rules(this.#chain, this.#port)}`);
    return (performance.now() - started) * 1000;
  }

  close(): void {
    this.#namespace.close();
  }

  #run(script: string): void {
    this.#namespace.exec(['nft', '-f', '-'], script);
  }
}

function rules(chain: string, port: number): string {
  const rule = (index: number) => `add rule ${TABLE} ${chain} ip saddr 10.160.0.${index} tcp dport ${port} accept\n`;
  return Array.from({ length: RULES }, (_, index) => rule(index)).join('');
}
