/**
 * ADD and DEL as a container runtime sees them, from the start of the plugin's process to its end, one by one and many at a time: Tenet in
 * a lab with its agent and etcd, beside the reference plugins `bridge` and `host-local` on a host of the same fabric. Then what of ADD is
 * wiring.
 */
import { existsSync, readFileSync } from 'node:fs';
import { deriveConfig, newContainerId } from '../../test/lab/container.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { addNetns } from '../../test/lab/named-netns.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import { netnsName } from '../../test/lab/topology.ts';
import { findPackageVersion } from '../machine.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { summarise } from '../sample.ts';
import { type Attachment, callPlugin, type Plugin } from './plugin-call.ts';
import { sampleWiring, TENET_WIRING, WIRE } from './pod-wiring.ts';

const TENET = 'Tenet';
const REFERENCE = 'bridge + host-local';
/** Where Debian's containernetworking-plugins has them, and where most others do. */
const REFERENCE_DIRS = ['/usr/lib/cni', '/opt/cni/bin'] as const;
const TENANT = 'bench';
/** Beyond these, none begins once time is up. */
const FEWEST_ROUNDS = 3;
const AT_A_TIME = [1, 16] as const;

const WANTED = { ADD: 0.6, DEL: 0.4 } as const;
const WANTED_WIRING_US = 1_000;

export const cni: Part = {
  name: 'cni',
  title: 'A container attached and detached, as its runtime sees it',
  scale: 'at a time',
  baseline: REFERENCE,
  charts: [
    { title: 'ADD and DEL, process start included', kind: 'bars', operations: ['ADD', 'DEL'] },
    { title: 'Links, addresses and routes alone', kind: 'bars', operations: [WIRE] },
  ],
  run: runCni,
};

async function runCni({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  const reference = REFERENCE_DIRS.find((dir) =>
    ['bridge', 'host-local'].every((name) => existsSync(`${dir}/${name}`)),
  );
  progress('a lab of one node');
  const lab = await startLab({ nodes: 1, signal });
  try {
    const { status, body } = await lab.rest('POST', '/v1/tenants', { name: TENANT });
    if (status !== 201) throw new Error(`POST /v1/tenants answered ${status}: ${JSON.stringify(body)}`);
    const racers = [await enter(lab, tenetPlugin(lab))];
    if (reference !== undefined) racers.push(await enter(lab, await referencePlugin(lab, reference)));
    for (const atATime of AT_A_TIME) {
      const rounds = { 1: quick ? 12 : 60, 16: quick ? 3 : 12 }[atATime];
      const end = performance.now() + (quick ? 15_000 : 60_000);
      progress(`${rounds} times ADD and DEL, ${atATime} at a time`);
      // The first is for what each sets up once: a bridge, a block of addresses.
      for (let round = 0; round <= rounds && (round < FEWEST_ROUNDS || performance.now() < end); round++)
        for (const racer of racers) await racer.turn(atATime, round > 0, signal);
    }
    progress('wiring alone');
    const wiring = await sampleWiring({ rounds: quick ? 4 : 20, budgetMs: quick ? 5_000 : 20_000, fewest: 2, signal });
    const figures = [...racers.flatMap((racer) => racer.figures()), ...wiring.map((each) => ({ ...each, scale: 1 }))];
    const skipped = reference === undefined ? [`${REFERENCE}: no containernetworking-plugins on this machine`] : [];
    return { figures, targets: judge(figures), tools: findTools(), skipped };
  } finally {
    await lab.close();
  }
}

function findTools(): Record<string, string> {
  const version = findPackageVersion('containernetworking-plugins');
  return version === undefined ? {} : { 'containernetworking-plugins': version };
}

function tenetPlugin(lab: Lab): Plugin {
  const host = lab.host('node1');
  return {
    name: TENET,
    binary: host.cniBin,
    hostNetns: netnsPath(host.netns),
    config: deriveConfig(readFileSync(host.cniConf, 'utf8'), { tenant: TENANT }),
    args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod',
  };
}

/** Without masquerading and firewall rules, which would cost it several programs more. */
async function referencePlugin(lab: Lab, dir: string): Promise<Plugin> {
  const { netns } = await lab.addStranger();
  const ranges = [[{ subnet: '10.88.0.0/16' }]];
  const ipam = { type: 'host-local', ranges, routes: [{ dst: '0.0.0.0/0' }], dataDir: `${lab.dir}/host-local` };
  return {
    name: REFERENCE,
    binary: `${dir}/bridge`,
    hostNetns: netnsPath(netns),
    config: {
      cniVersion: '1.0.0',
      name: 'bench',
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: false,
      ipam,
    },
    args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod',
  };
}

/** With as many empty namespaces as containers at a time. */
async function enter(lab: Lab, plugin: Plugin): Promise<Racer> {
  const label = plugin.name === TENET ? 't' : 'r';
  const names = Array.from({ length: Math.max(...AT_A_TIME) }, (_, index) => netnsName(lab.id, `c-${label}-${index}`));
  for (const name of names) addNetns(name);
  return new Racer(plugin, names.map(netnsPath));
}

/** One plugin, the namespaces it attaches, and the times it took. */
class Racer {
  readonly #plugin: Plugin;
  readonly #containers: readonly string[];
  readonly #times = new Map<string, number[]>();

  constructor(plugin: Plugin, containers: readonly string[]) {
    this.#plugin = plugin;
    this.#containers = containers;
  }

  /** Attaches so many containers at once, and when all are, detaches them. */
  async turn(atATime: number, counts: boolean, signal: AbortSignal): Promise<void> {
    const attached = await settled(
      this.#containers.slice(0, atATime).map(async (netns): Promise<Attachment> => {
        const attachment = { containerId: newContainerId(), netns };
        const result = await this.#call('ADD', attachment, atATime, counts, signal);
        return result === undefined ? attachment : { ...attachment, result };
      }),
    );
    await settled(attached.map((attachment) => this.#call('DEL', attachment, atATime, counts, signal)));
  }

  async #call(verb: 'ADD' | 'DEL', attachment: Attachment, atATime: number, counts: boolean, signal: AbortSignal) {
    const { result, tookUs } = await callPlugin(this.#plugin, verb, attachment, signal);
    const key = `${verb} ${atATime}`;
    if (counts) this.#times.set(key, [...(this.#times.get(key) ?? []), tookUs]);
    return result;
  }

  figures(): Figure[] {
    return Array.from(this.#times, ([key, times]) => {
      const [operation = '', scale] = key.split(' ');
      return { operation, subject: this.#plugin.name, scale: Number(scale), ...summarise(times, 'µs') };
    });
  }
}

/** All results; rejects with the first failure, but not before every call has ended. */
async function settled<T>(calls: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(calls);
  return Promise.all(calls);
}

function judge(figures: readonly Figure[]): Target[] {
  const median = (operation: string, subject: string, scale: number) =>
    figures.find((each) => each.operation === operation && each.subject === subject && each.scale === scale)?.value;
  const targets: Target[] = [];
  for (const atATime of AT_A_TIME) {
    for (const verb of ['ADD', 'DEL'] as const) {
      const [ours, theirs] = [median(verb, TENET, atATime), median(verb, REFERENCE, atATime)];
      if (ours === undefined || theirs === undefined) continue;
      const ratio = ours / theirs;
      targets.push({
        what: `${verb}, ${atATime} at a time, over ${REFERENCE}`,
        wanted: `≤ ${WANTED[verb]} ×`,
        measured: `${ratio.toFixed(2)} ×`,
        met: ratio <= WANTED[verb],
      });
    }
  }
  const wiring = median(WIRE, TENET_WIRING, 1) ?? Number.NaN;
  const measured = `${(wiring / 1000).toFixed(2)} ms`;
  targets.push({ what: WIRE, wanted: '≤ 1 ms', measured, met: wiring <= WANTED_WIRING_US });
  return targets;
}
