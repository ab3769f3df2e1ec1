/** The agent's command line and environment, checked and frozen. Pure but for commander's own printing. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { isSubdomain } from '../../controller/model/names.ts';
import type { NodeRole } from '../../controller/model/records.ts';
import { DEFAULT_TIMEOUT_MS } from '../../controller/store/etcd-endpoints.ts';
import { type IpAddress, parseIp } from '../../dataplane/address.ts';
import type { BackendName } from '../../dataplane/backends/isolation-backend.ts';
import type { XtablesVariant } from '../../dataplane/system/xtables.ts';
import { DEFAULT_AGENT_SOCKET } from '../agent-protocol.ts';
import { type FlowBounds, LEAST_FLOWS, MOST_FLOWS } from './machine/flow-bounds.ts';
import { DEFAULT_MASQUERADE_PORTS, type PortRange, parseMasqueradePorts } from './machine/masquerade-ports.ts';

export interface AgentConfig {
  readonly node: string;
  readonly roles: readonly NodeRole[];
  readonly etcd: readonly string[];
  /** how long a call to etcd may take */
  readonly etcdTimeoutMs: number;
  readonly stateDir: string;
  readonly socket: string;
  /** absent: the link of the default route */
  readonly underlayInterface?: string;
  /** absent: the interface's first global address */
  readonly underlayAddress?: IpAddress;
  readonly underlayMacCheck: boolean;
  readonly masqueradePorts: PortRange;
  /** absent: shares of the kernel's table of connections */
  readonly flows: Partial<FlowBounds>;
  readonly backend: 'auto' | BackendName;
  readonly iptablesVariant: XtablesVariant;
  readonly logLevel: string;
}

const ROLES = ['compute', 'gateway', 'manage'] as const;

function collect<T>(parse: (text: string) => T) {
  return (text: string, previous: readonly T[] | undefined): T[] => [...(previous ?? []), parse(text)];
}

function nodeName(text: string): string {
  if (isSubdomain(text)) return text;
  throw new InvalidArgumentError('a node name is a DNS name: lower-case letters, digits, "-" and "."');
}

function role(text: string): NodeRole {
  const found = ROLES.find((each) => each === text);
  if (found === undefined) throw new InvalidArgumentError(`a role is one of ${ROLES.join(', ')}`);
  return found;
}

function url(text: string): string {
  if (!/^https?:\/\/[^/]+$/.test(text)) throw new InvalidArgumentError('an etcd URL looks like http://127.0.0.1:2379');
  return text;
}

/** @returns milliseconds */
function timeout(text: string): number {
  const seconds = /^\d{1,2}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds >= 1 && seconds <= 60)) throw new InvalidArgumentError('must be 1 to 60 seconds');
  return Math.round(seconds * 1000);
}

function address(text: string): IpAddress {
  try {
    return parseIp(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function masqueradePorts(text: string): PortRange {
  try {
    return parseMasqueradePorts(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function flows(text: string): number {
  const number = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= LEAST_FLOWS && number <= MOST_FLOWS) return number;
  throw new InvalidArgumentError(`must be ${LEAST_FLOWS} to ${MOST_FLOWS} connections`);
}

/** Parses the command line; prints and exits (2) on a fault, which names the flag. */
export function parseConfig(argv: readonly string[], hostname: string): AgentConfig {
  const program = new Command('tenet-agent')
    .description(
      'Tenet’s agent: keeps the links, routes and isolation rules of one node up to date, and serves the CNI plugin.',
    )
    .addOption(
      new Option('--node <name>', 'this node’s name')
        .env('TENET_NODE')
        .default(hostname.toLowerCase())
        .argParser(nodeName),
    )
    .option('--role <role>', `compute (the default), gateway or manage; repeatable`, collect(role))
    .addOption(
      new Option('--etcd <url,url>', 'client URLs of etcd')
        .env('TENET_ETCD')
        .default(['http://127.0.0.1:2379'], 'http://127.0.0.1:2379')
        .argParser((text) => text.split(',').map(url)),
    )
    .addOption(
      new Option('--etcd-timeout <seconds>', 'how long a call to etcd may take, 1 to 60')
        .env('TENET_ETCD_TIMEOUT')
        .default(DEFAULT_TIMEOUT_MS, String(DEFAULT_TIMEOUT_MS / 1000))
        .argParser(timeout),
    )
    .addOption(
      new Option('--state-dir <dir>', 'directory for the node’s journal and last known state')
        .env('TENET_STATE_DIR')
        .default('/var/lib/tenet/agent'),
    )
    .addOption(
      new Option('--socket <path>', 'unix socket that serves the CNI plugin')
        .env('TENET_AGENT_SOCKET')
        .default(DEFAULT_AGENT_SOCKET),
    )
    .option('--underlay-interface <name>', 'link to the other nodes (default: the link of the default route)')
    .option('--underlay-address <address>', 'this node’s address on that link (default: the first)', address)
    .addOption(
      new Option('--underlay-mac-check <mode>', 'accept nodes of this segment only with their own MACs')
        .choices(['on', 'off'])
        .default('on'),
    )
    .addOption(
      new Option('--masquerade-ports <from-to>', 'source ports of pods’ traffic beyond the cluster; for pods only')
        .env('TENET_MASQUERADE_PORTS')
        .default(parseMasqueradePorts(DEFAULT_MASQUERADE_PORTS), DEFAULT_MASQUERADE_PORTS)
        .argParser(masqueradePorts),
    )
    .addOption(
      new Option('--pod-flows <count>', 'connections one pod may open at a time (default: 1/8 of nf_conntrack_max)')
        .env('TENET_POD_FLOWS')
        .argParser(flows),
    )
    .addOption(
      new Option('--tenant-flows <count>', 'the same for all pods of one tenant on this node (default: 1/4)')
        .env('TENET_TENANT_FLOWS')
        .argParser(flows),
    )
    .addOption(
      new Option('--backend <name>', 'what enforces isolation; auto: nftables if the kernel has it')
        .choices(['auto', 'nftables', 'iptables'])
        .default('auto'),
    )
    .addOption(
      new Option('--iptables-variant <name>', 'iptables programs of the iptables backend; default: those of the host')
        .choices(['default', 'nft', 'legacy'])
        .default('default'),
    )
    .addOption(
      new Option('--log-level <level>', 'least severe level that is logged')
        .env('TENET_LOG_LEVEL')
        .choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info'),
    )
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse([...argv], { from: 'user' });
  const options = program.opts();
  // A flag has been checked; the host's name has not.
  if (!isSubdomain(options.node)) program.error(`--node: the host is called ${options.node}, which is no node’s name`);
  return Object.freeze({
    node: options.node,
    roles: options.role ?? ['compute'],
    etcd: options.etcd,
    etcdTimeoutMs: options.etcdTimeout,
    stateDir: options.stateDir,
    socket: options.socket,
    ...(options.underlayInterface === undefined ? {} : { underlayInterface: options.underlayInterface }),
    ...(options.underlayAddress === undefined ? {} : { underlayAddress: options.underlayAddress }),
    underlayMacCheck: options.underlayMacCheck === 'on',
    masqueradePorts: options.masqueradePorts,
    flows: {
      ...(options.podFlows === undefined ? {} : { ofPod: options.podFlows }),
      ...(options.tenantFlows === undefined ? {} : { ofTenant: options.tenantFlows }),
    },
    backend: options.backend,
    iptablesVariant: options.iptablesVariant,
    logLevel: options.logLevel,
  });
}
