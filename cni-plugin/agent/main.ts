/** tenet-agent's edge: flags, log, store, kernel, socket and signals. Everything else is agent.ts's. */
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { pino } from 'pino';
import { InvalidInput } from '../../controller/errors.ts';
import { openEtcdStore } from '../../controller/store/etcd-store.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { Agent } from './agent.ts';
import { parseConfig } from './config.ts';
import { Journal } from './endpoints/journal.ts';
import { flowBounds } from './machine/flow-bounds.ts';
import { type NodePorts, portConflicts } from './machine/masquerade-ports.ts';
import { lockNamespace, NotAlone } from './machine/only-agent.ts';
import { findStoreAddresses } from './machine/store-addresses.ts';
import type { TableFill } from './machine/table-watch.ts';
import { findUnderlay } from './machine/underlay.ts';
import { serve } from './socket/server.ts';

const config = parseConfig(process.argv.slice(2), hostname());
const log = pino({
  name: 'tenet-agent',
  level: config.logLevel,
  base: { node: config.node },
  timestamp: pino.stdTimeFunctions.isoTime,
});
if (process.getuid?.() !== 0) {
  process.stderr.write('error: tenet-agent changes links and rules, and needs root\n');
  process.exit(1);
}

try {
  const impostor = lockNamespace();
  if (impostor !== undefined)
    log.error(
      { op: 'start', ...impostor },
      'a process that is no agent holds the lock of this network namespace: a second agent here would not be noticed',
    );
  const dataplane = KernelDataplane.open({ backend: config.backend, iptables: config.iptablesVariant });
  const storeAddresses = await findStoreAddresses(config.etcd);
  if (storeAddresses === undefined)
    log.warn({ op: 'start', etcd: config.etcd }, 'no address for etcd’s name: neighbours’ MACs are left to ARP');
  const flows = flowBounds(config.flows, readTable()?.size);
  const readFacts = () => ({
    name: config.node,
    roles: config.roles,
    underlay: findUnderlay(dataplane.underlayView(), config),
    checkUnderlayMac: config.underlayMacCheck,
    storeAddresses,
    masqueradePorts: config.masqueradePorts,
    flows,
  });
  const facts = readFacts();
  dataplane.enableForwarding(facts.underlay.link);
  /** Others may have switched it off, or the underlay may be on another link by now. */
  const keepForwarding = (link: string) => {
    try {
      if (dataplane.enableForwarding(link)) log.warn({ op: 'underlay', link }, 'forwarding was off: it is on again');
    } catch (error) {
      log.error(
        { op: 'underlay', link, err: error },
        'forwarding cannot be switched on: nothing from outside comes in',
      );
    }
  };
  for (const conflict of portConflicts(config.masqueradePorts, readNodePorts())) log.warn({ op: 'start' }, conflict);
  const agent = new Agent({
    facts,
    readFacts: () => {
      const now = readFacts();
      keepForwarding(now.underlay.link);
      return now;
    },
    readTable,
    version: packageJson.version,
    store: await openEtcdStore({ endpoints: config.etcd, timeoutMs: config.etcdTimeoutMs, logger: log }),
    dataplane,
    journal: Journal.open(config.stateDir, config.node),
    stateDir: config.stateDir,
    log,
    onNameTaken: (underlay) => {
      log.fatal(
        { op: 'register', underlay },
        `--node: ${config.node} is alive at ${underlay}: every node needs a name of its own`,
      );
      process.exit(1);
    },
  });
  const server = await serve(config.socket, (request, signal) => agent.handle(request, signal));
  const stop = async (signal: NodeJS.Signals) => {
    log.info({ op: 'stop', signal }, 'stopping; links and rules stay in force');
    process.once(signal, () => process.exit(1));
    await server.close();
    await agent.close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop(signal));
  log.info(
    {
      op: 'start',
      ...facts.underlay,
      roles: config.roles,
      flows,
      socket: config.socket,
      backend: dataplane.backend.name,
    },
    `starting; rules in ${dataplane.backend.name}: ${dataplane.backend.why}`,
  );
  await agent.start();
  log.info({ op: 'start' }, 'in sync: every rule is in force');
} catch (error) {
  if (error instanceof InvalidInput || error instanceof NotAlone) {
    process.stderr.write(`error: ${error.message}\n`);
    process.exit(error instanceof NotAlone ? 1 : 2);
  }
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error));
  process.exit(1);
}

/** How full the kernel's table of connections is; it does not say before its module is loaded. */
function readTable(): TableFill | undefined {
  const [count, size] = ['count', 'max'].map((name) => `/proc/sys/net/netfilter/nf_conntrack_${name}`);
  if (count === undefined || size === undefined || !existsSync(size)) return undefined;
  return { count: Number(readFileSync(count, 'utf8')), size: Number(readFileSync(size, 'utf8')) };
}

/** What the kernel says of ports of this network namespace; a kernel without IPv6 has no files of it. */
function readNodePorts(): NodePorts {
  const read = (path: string) => readFileSync(path, 'utf8');
  const tables = (protocol: 'tcp' | 'udp') =>
    [`/proc/self/net/${protocol}`, `/proc/self/net/${protocol}6`].filter((path) => existsSync(path)).map(read);
  return {
    localRange: read('/proc/sys/net/ipv4/ip_local_port_range'),
    reserved: read('/proc/sys/net/ipv4/ip_local_reserved_ports'),
    sockets: { tcp: tables('tcp'), udp: tables('udp') },
  };
}
