/**
 * `npm run lab`: the command line of labs. Progress goes to stderr; stdout has the answer alone. Exit status: 0 done, 1 failed, 2 not
 * understood, 130 interrupted, after cleaning up.
 */
import { Command, InvalidArgumentError } from 'commander';
import { type Lab, startLab } from './lab.ts';
import { isOwned, listLabs, readLab } from './state.ts';
import { takeDown, unownedLabs } from './take-down.ts';

function number(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Aborted by the first Ctrl-C or SIGTERM; later ones are ignored, for cleaning up must end. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (!controller.signal.aborted) say('interrupted: taking the lab down');
      controller.abort();
    });
  return controller.signal;
}

interface UpOptions {
  readonly nodes: number;
  readonly controllers: number;
  readonly gateways: number;
  readonly backend: string;
  readonly id?: string;
  readonly json?: boolean;
}

async function up({ json, ...options }: UpOptions): Promise<void> {
  const signal = interruption();
  try {
    const lab = await startLab({ ...options, detached: true, signal, onProgress: say });
    if (signal.aborted) {
      await lab.close();
      signal.throwIfAborted();
    }
    process.stdout.write(json ? `${JSON.stringify(lab.describe())}\n` : summary(lab));
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = 130;
  }
}

function summary(lab: Lab): string {
  const [controller] = lab.controllers;
  const [host] = lab.hosts;
  const lines = [
    `lab ${lab.id} is up`,
    ...lab.controllers.map(({ name, url, netns }) => `  ${name.padEnd(10)} ${url.padEnd(24)} netns ${netns}`),
    ...lab.hosts.map(({ name, underlay, netns }) => `  ${name.padEnd(10)} ${underlay.padEnd(24)} netns ${netns}`),
    `  ${'outside'.padEnd(10)} ${lab.outside.address.padEnd(24)} netns ${lab.outside.netns}`,
    '',
    `REST       ${controller?.url}/  (token: ${lab.tokenFile})`,
    `logs       ${lab.dir}/logs`,
    '',
    'Create a tenant, and attach a container to it by hand:',
    `  curl -H "Authorization: Bearer $(cat ${lab.tokenFile})" -H 'Content-Type: application/json' \\`,
    `    -d '{"name":"red"}' ${controller?.url}/v1/tenants`,
  ];
  if (host)
    lines.push(
      `  ip netns add tl${lab.id}-mine`,
      `  echo '{"cniVersion":"1.0.0","name":"tenet","type":"tenet","agentSocket":"${host.agentSocket}","tenant":"red"}' |`,
      `    CNI_COMMAND=ADD CNI_CONTAINERID=mine CNI_NETNS=/run/netns/tl${lab.id}-mine CNI_IFNAME=eth0 CNI_PATH=/ \\`,
      `    nsenter --net=/run/netns/${host.netns} ${host.cniBin}`,
      `  nsenter --net=/run/netns/tl${lab.id}-mine ip address`,
    );
  lines.push('', `Take it down: npm run lab -- down --id ${lab.id}`, '');
  return lines.join('\n');
}

async function down({ id, all }: { readonly id?: string; readonly all?: boolean }): Promise<void> {
  const ids = id !== undefined ? [id] : all ? listLabs() : unownedLabs();
  const results = await Promise.all(ids.map(async (each) => ({ each, found: await takeDown(each) })));
  for (const { each, found } of results) say(found ? `lab ${each} is down` : `there is no lab ${each}`);
  if (ids.length === 0) say('no lab to take down');
  const spared = listLabs();
  if (id === undefined && spared.length > 0)
    say(`still in use by processes: ${spared.join(', ')} (--all takes these down too)`);
}

function list({ json }: { readonly json?: boolean }): void {
  const labs = listLabs().map((id) => {
    const state = readLab(id);
    const phase = state?.phase === 'up' ? 'up' : 'half built';
    return { id, phase, inUse: isOwned(state), createdAt: state?.createdAt };
  });
  if (json) process.stdout.write(`${JSON.stringify(labs)}\n`);
  else
    for (const { id, phase, inUse, createdAt } of labs)
      process.stdout.write(
        `${id.padEnd(10)} ${phase.padEnd(12)} ${createdAt ?? ''}${inUse ? '  in use by a process' : ''}\n`,
      );
}

const program = new Command('lab').description('Run a whole Tenet cluster on this machine, in network namespaces.');
program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
program
  .command('up')
  .description('start a lab; it runs until it is taken down')
  .option('--nodes <n>', 'number of compute nodes', number, 2)
  .option('--controllers <n>', 'number of manage nodes, each with a controller', number, 1)
  .option('--gateways <n>', 'number of gateway nodes', number, 0)
  .option('--backend <name>', 'what enforces isolation on nodes: auto, nftables or iptables', 'auto')
  .option('--id <id>', 'id of the lab: at most 8 lower-case letters and digits (default: random)')
  .option('--json', 'describe the lab as one JSON object on stdout')
  .action(up);
program
  .command('down')
  .description('take labs down, with all processes, namespaces and files; by default the labs that no process uses')
  .option('--id <id>', 'only this lab')
  .option('--all', 'labs that a process uses too')
  .action(down);
program.command('list').description('list the labs of this machine').option('--json', 'print JSON').action(list);

// A reader that has gone, as `head` does, is no failure.
process.stdout.on('error', () => undefined);

try {
  await program.parseAsync();
} catch (error) {
  say(`lab: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
