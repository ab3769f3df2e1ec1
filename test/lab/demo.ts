/**
 * `npm run demo`: builds a lab, puts three tenants on it, tries every way between them with real packets and shows what came of it beside
 * what should. Exit status: 0 all as expected, 1 not, 130 interrupted. Takes the lab down again unless told to --keep it.
 */
import { Command, Option } from 'commander';
import { attachAll, containerCells, createTenants, listenEverywhere, platformCells } from './demo-scene.ts';
import { formatGrid, formatRows, paint } from './demo-table.ts';
import { type Lab, startLab } from './lab.ts';
import { waitFor } from './probe/deadline.ts';
import { type Cell, runMatrix } from './probe/matrix.ts';

const options = new Command('demo')
  .description('Start a cluster with three tenants, and show which containers reach each other.')
  .option('--keep', 'keep the lab running')
  .addOption(
    new Option('--backend <name>', 'what enforces isolation on nodes')
      .choices(['auto', 'nftables', 'iptables'])
      .default('auto'),
  )
  .parse()
  .opts<{ keep?: boolean; backend: string }>();

const style = { colours: process.stdout.isTTY === true && !process.env.NO_COLOR };
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
// The reader has gone: no reason to leave a lab behind.
process.stdout.on('error', () => interrupted.abort());

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Runs one step and says how long it took. An interruption waits for the step's end, so that nothing is being made while we clean up. */
async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  interrupted.signal.throwIfAborted();
  const started = performance.now();
  const result = await work();
  interrupted.signal.throwIfAborted();
  print(`${what.padEnd(64)} ${paint(`${((performance.now() - started) / 1000).toFixed(2)} s`, 'dim', style)}`);
  return result;
}

/** Resolves once every way that should be open has been: news of a container takes its moment to reach the other node. */
async function untilOpen(cells: readonly Cell[]): Promise<void> {
  const allowed = cells.filter(({ expected }) => expected === 'allowed');
  const isOpen = async () => (await runMatrix(allowed)).every(({ asExpected }) => asExpected);
  // If one stays shut, the tables will show which.
  await waitFor(isOpen, { what: 'allowed ways are open', signal: interrupted.signal }).catch(() => undefined);
}

async function play(lab: Lab): Promise<boolean> {
  const tenants = await step('three tenants created over REST', () => createTenants(lab));
  const actors = await step('seven containers attached through CNI', () => attachAll(lab));
  await listenEverywhere(lab);
  const among = containerCells(actors);
  const platform = await platformCells(lab, actors);
  await step('every allowed path is open', () => untilOpen([...among, ...platform]));
  const rows = await step(`${among.length + platform.length} paths tried with real packets`, () =>
    runMatrix([...among, ...platform]),
  );
  const wrong = rows.filter(({ asExpected }) => !asExpected);
  print('');
  for (const { name, vni, subnets } of tenants) print(`  ${name.padEnd(6)} VNI ${vni}, ${subnets.join(', ')}`);
  print('\nContainers (names with 1 run on node1, names with 2 on node2): ✓ reached, ✗ no answer');
  print(formatGrid(rows.slice(0, among.length), style));
  print('\nThe platform and the outside');
  print(formatRows(rows.slice(among.length), style));
  if (wrong.length === 0) print(paint(`\nAll ${rows.length} as expected.`, 'green', style));
  else
    print(
      `\n${paint(`${wrong.length} of ${rows.length} NOT as expected:`, 'red', style)}\n${formatRows(wrong, style)}`,
    );
  return wrong.length === 0;
}

function invite(lab: Lab): void {
  const [controller] = lab.controllers;
  print(`\nThe lab keeps running. Its logs are in ${lab.dir}/logs`);
  print(`\nTry next: export TENET_SERVER=${controller?.url} TENET_TOKEN_FILE=${lab.tokenFile}`);
  print('          curl -H "Authorization: Bearer $(cat $TENET_TOKEN_FILE)" $TENET_SERVER/v1/tenants');
  const rules = options.backend === 'iptables' ? 'iptables-save' : 'nft list ruleset';
  print(`          nsenter --net=/run/netns/${lab.hosts[0]?.netns} ${rules}`);
  print(`Take it down: npm run lab -- down --id ${lab.id}`);
}

async function main(): Promise<number> {
  let lab: Lab | undefined;
  let keep = false;
  try {
    const detached = options.keep ?? false;
    const { signal } = interrupted;
    lab = await step('a cluster: 1 manage node, 2 compute nodes, 1 gateway', () =>
      startLab({ nodes: 2, gateways: 1, backend: options.backend, detached, signal }),
    );
    const [controller] = lab.controllers;
    print(`  REST API ${controller?.url}/v1, its docs ${controller?.url}/docs${detached ? '' : ' (while this runs)'}`);
    const isFine = await play(lab);
    keep = detached;
    if (keep) invite(lab);
    else print('\nThe lab is taken down. To keep it, with REST API, docs, rules and logs: npm run demo -- --keep');
    return isFine ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    if (keep) lab?.release();
    else await lab?.close();
  }
}

process.exit(await main());
