/**
 * Plays cases on a scene, one after the other: each step's changes, then its truth table with real packets, then everything is put back.
 * Prints nothing; says what was wrong in words for a person.
 */
import { stringify } from 'yaml';
import { waitFor } from '../lab/probe/deadline.ts';
import type { Action, Case, Step } from './case.ts';
import { evaluatorsTruth } from './evaluator.ts';
import { formatWrong, isWrong } from './matrix.ts';
import { type Cell, Probes, type Question, say } from './probes.ts';
import type { Scene } from './scene.ts';
import { kindOf, PORTS, PROTOCOLS, type Truth, truth } from './truth.ts';

export interface CaseResult {
  readonly name: string;
  readonly seconds: number;
  /** empty: passed */
  readonly failure: string;
}

const EVERYBODY: Case['beside'] = ['peer', 'stranger', 'outside', 'node'];

export class Runner {
  readonly #scene: Scene;
  readonly #probes: Probes;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#probes = new Probes(() => scene.stations, scene.lab.sentinel);
  }

  /** Never throws for what the product did; the scene is as it was at the start when it resolves, if it can be. */
  async run({ name, beside, steps }: Case): Promise<CaseResult> {
    return await this.#guarded(name, async () => {
      for (const [index, step] of steps.entries()) {
        const title = steps.length > 1 ? `step ${index + 1} of ${steps.length}: ` : '';
        const found = await this.#play(step, beside, name);
        if (found.length > 0) return found.map((fault) => `${title}${fault}`);
      }
      return [];
    });
  }

  /** As {@link run}, with the evaluator's opinion for the truth after each set of changes. */
  async runAgainstEvaluator(name: string, steps: readonly (readonly Action[])[]): Promise<CaseResult> {
    return await this.#guarded(name, async () => {
      for (const [index, actions] of steps.entries()) {
        for (const action of actions) await this.#scene.apply(action);
        const found = await this.#compare(evaluatorsTruth(this.#scene), EVERYBODY, name);
        if (found.length === 0) continue;
        return [`step ${index + 1} of ${steps.length}:`, ...found, describeScene(this.#scene)];
      }
      return [];
    });
  }

  async #guarded(name: string, play: () => Promise<readonly string[]>): Promise<CaseResult> {
    const started = performance.now();
    const faults: string[] = [];
    try {
      faults.push(...(await play()));
    } catch (error) {
      faults.push(messageOf(error));
    }
    // What is put back counts: no case must leave something to the next.
    await this.#scene.reset().catch((error: unknown) => faults.push(`putting back: ${messageOf(error)}`));
    faults.push(...this.#probes.takeLate());
    return { name, seconds: (performance.now() - started) / 1000, failure: faults.join('\n') };
  }

  /** One table. @returns what is wrong, nothing if all is as it should be */
  async #compare(expected: Truth, beside: Case['beside'], name: string): Promise<readonly string[]> {
    const [cells, unprobed] = await Promise.all([
      this.#probes.ask(this.#questions(expected, beside), name),
      this.#probeFromNodes(),
    ]);
    const wrong = cells.filter(isWrong).length;
    return [
      ...(wrong > 0 ? [`${wrong} of ${cells.length} ways are not as expected\n${formatWrong(cells)}`] : []),
      ...(unprobed.length > 0 ? [`nodes do not reach their own pods: ${unprobed.join(', ')}`] : []),
      ...deaf(cells),
    ];
  }

  async #play({ actions, expected, flows = {} }: Step, beside: Case['beside'], name: string): Promise<string[]> {
    for (const action of actions) await this.#scene.apply(action);
    const fates = Promise.all(
      Object.entries(flows).map(async ([flow, fate]) => await judgeFlow(this.#scene, flow, fate)),
    );
    const expectation = truth(expected);
    const wrong = await this.#compare(expectation, beside, name);
    return [...wrong, ...this.#disagreement(expectation, beside), ...(await fates).filter((fault) => fault !== '')];
  }

  /** The evaluator answers the same questions for people: it has to say what the packets do. */
  #disagreement(expected: Truth, beside: Case['beside']): readonly string[] {
    const evaluated = evaluatorsTruth(this.#scene);
    const ways = this.#questions(expected, beside)
      .filter(({ way, allowed }) => evaluated(way) !== allowed)
      .map(({ way, allowed }) => `${say(way)} (should be ${allowed ? 'allowed' : 'denied'})`);
    if (ways.length === 0) return [];
    return [`the evaluator is wrong about ${ways.length} ways, such as ${ways.slice(0, 5).join(', ')}`];
  }

  #questions(expected: Truth, beside: Case['beside']): readonly Question[] {
    const names = this.#scene.names(['own', ...beside]);
    const callers = [...this.#scene.actors].filter(([name]) => names.includes(name));
    return callers.flatMap(([from, { station }]) =>
      names
        .filter((to) => kindOf(from) === 'own' || kindOf(to) === 'own' || kindOf(from) === kindOf(to))
        .flatMap((to) => {
          const address = this.#scene.addressOf(to);
          return PROTOCOLS.flatMap((protocol) =>
            PORTS.map((port): Question => {
              const way = { from, to, protocol, port };
              return { way, allowed: expected(way), from: station, address };
            }),
          );
        }),
    );
  }

  /** Whatever policies say, a node reaches its own pods. @returns those that it does not */
  async #probeFromNodes(): Promise<readonly string[]> {
    const { lab, actors } = this.#scene;
    const probes = [...actors].flatMap(([name, { container }]) =>
      PORTS.map(async (port) => {
        const { outcome, id } = await lab.prober(container.host).tcpConnect(container.ip, port);
        return outcome === 'open' && id === name ? [] : [`${name} TCP ${port}: ${outcome}`];
      }),
    );
    return (await Promise.all(probes)).flat();
  }
}

/** Silence proves something only of a pod that is heard elsewhere: a pod always reaches itself. */
function deaf(cells: readonly Cell[]): readonly string[] {
  const silent = cells.filter(({ way, observed }) => way.from === way.to && observed !== 'allowed');
  return silent.map(({ way }) => `${way.to} ${way.protocol} ${way.port} does not even reach itself`);
}

/** @returns what is wrong, '' if nothing */
async function judgeFlow({ flows, lab }: Scene, name: string, fate: 'runs' | 'silent'): Promise<string> {
  const running = flows.get(name);
  if (running === undefined) return `there is no flow ${name}`;
  const { flow, plan } = running;
  const what = `${plan.protocol} flow ${plan.from} > ${plan.to}`;
  if (fate === 'runs') {
    const { echoed } = flow;
    return await waitFor(() => flow.echoed > echoed, { what }).then(
      () => '',
      () => `${what} has fallen silent`,
    );
  }
  // What was under way when the change was called enforced has ended; what is sent from now on must not arrive.
  await lab.sentinel.pass();
  const { echoed, deliveredBytes } = flow;
  await flow.untilTriedAgain();
  await lab.sentinel.pass();
  const more = flow.deliveredBytes - deliveredBytes;
  return more === 0 && flow.echoed === echoed ? '' : `${what} goes on: ${more} bytes more arrived`;
}

/** All that decides, as YAML: policies as whole objects, and what differs from the start. */
function describeScene(scene: Scene): string {
  const policies = [...scene.policies].map(([where, spec]) => {
    const [namespace, name] = where.split(':');
    return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec };
  });
  const pods = [...scene.actors.keys()].map((name) => [name, scene.labelsOf(name)]);
  const rest = {
    pods: Object.fromEntries(pods),
    namespaces: Object.fromEntries(scene.namespaces),
    asked: [...scene.asked],
  };
  return [...policies, rest].map((each) => stringify(each)).join('---\n');
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
