/**
 * The controller's command line and environment, checked and frozen. Every flag has an environment variable; a flag on the command
 * line wins. Prints help and version, and nothing else.
 */
import { hostname } from 'node:os';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { AddressError } from '../dataplane/address.ts';
import {
  parseCidr,
  parseDays,
  parseEtcdListen,
  parseException,
  parseLength,
  parseLevel,
  parseListen,
  parseTimeout,
  parseUrls,
} from './config-values.ts';
import { InvalidInput } from './errors.ts';
import type { ListenAddress } from './listen.ts';
import { LOG_LEVELS, type LogLevel } from './log.ts';
import { type ClusterOptions, newCluster } from './model/cluster.ts';
import { DEFAULT_TIMEOUT_MS } from './store/etcd-endpoints.ts';

/** Which etcd to use: an existing cluster, or a child process. */
export type EtcdConfig =
  | { readonly kind: 'external'; readonly endpoints: readonly string[] }
  | { readonly kind: 'embedded'; readonly dataDir: string; readonly listenAddress: string; readonly port: number };

export interface ControllerConfig {
  readonly name: string;
  readonly listen: readonly ListenAddress[];
  readonly etcd: EtcdConfig;
  /** how long a call to etcd may take */
  readonly etcdTimeoutMs: number;
  /** the last backup may be so old without a warning; 0: it may be of any age */
  readonly warnBackupDays: number;
  /** only what was given: it must fit a cluster that exists, and makes one that does not */
  readonly cluster: ClusterOptions;
  readonly tokenFile: string;
  readonly logLevel: LogLevel;
}

/** How the command line ended without a configuration: help was asked for (0), or something is wrong with it (2). */
export class UsageExit extends Error {
  readonly code = 'usage';
  readonly exitCode: 0 | 2;
  constructor(exitCode: 0 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Flag by field, for what is only found wrong once everything is put together. */
const FLAGS: Readonly<Record<string, string>> = {
  pools: '--pool',
  subnetPrefixLength: '--subnet-prefix-length',
  blockPrefixLength: '--block-prefix-length',
  platformNetworks: '--platform-network',
  openNetworks: '--open-network',
  exceptions: '--exception',
  defaultTenant: '--default-tenant',
  tokenFile: '--token-file',
  listen: '--listen',
  etcd: '--etcd',
};

/** The flag that a fault of configuration is about, such as `--pool` for `pools[1]`. */
export function flagOf(field: string): string {
  return FLAGS[field.replace(/[[.].*$/, '')] ?? field;
}

type Values = ReturnType<typeof readValues>;

/** @param print for `--help` and `--version` @throws UsageExit */
export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
  print: (text: string) => void,
): ControllerConfig {
  try {
    const values = readValues(argv, env, version, print);
    const cluster = clusterOptions(values);
    newCluster(cluster); // for its faults alone
    const config: ControllerConfig = {
      name: values.name ?? hostname(),
      listen: values.listen ?? [{ kind: 'tcp', host: '127.0.0.1', port: 7480 }],
      etcd: etcdConfig(values),
      etcdTimeoutMs: values.etcdTimeout ?? DEFAULT_TIMEOUT_MS,
      warnBackupDays: values.warnBackupDays ?? 7,
      cluster,
      tokenFile: values.tokenFile ?? '/var/lib/tenet/token',
      logLevel: values.logLevel ?? 'info',
    };
    return Object.freeze(config);
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageExit(error.exitCode === 0 ? 0 : 2, error.message);
    if (!(error instanceof InvalidInput)) throw error;
    const lines = error.errors.map(({ field, message }) => `error: ${flagOf(field)}: ${message}`);
    throw new UsageExit(2, lines.join('\n'));
  }
}

interface Flag<T> {
  readonly flags: string;
  readonly description: string;
  readonly parse: (text: string) => T;
}

const flag = <T>(flags: string, description: string, parse: (text: string) => T): Flag<T> => ({
  flags,
  description,
  parse,
});
const text = (value: string): string => value;

const SINGLE = {
  embeddedEtcd: flag(
    '--embedded-etcd <dir>',
    'run etcd as a child process with this data directory (default: /var/lib/tenet/etcd)',
    text,
  ),
  etcd: flag('--etcd <url,url>', 'use this etcd cluster instead: client URLs of its members', parseUrls),
  etcdListen: flag(
    '--etcd-listen <address[:port]>',
    'client address of the embedded etcd (default: 127.0.0.1:2379)',
    parseEtcdListen,
  ),
  etcdTimeout: flag('--etcd-timeout <seconds>', 'how long a call to etcd may take, 1 to 60 (default: 5)', parseTimeout),
  subnetPrefixLength: flag('--subnet-prefix-length <n>', "length of a tenant's IPv4 subnet (default: 22)", parseLength),
  blockPrefixLength: flag('--block-prefix-length <n>', "length of a node's IPv4 block (default: 27)", parseLength),
  defaultTenant: flag(
    '--default-tenant <name>',
    'owner of containers whose namespace no tenant claims; created if needed',
    text,
  ),
  tokenFile: flag('--token-file <path>', "the API's token, created if absent (default: /var/lib/tenet/token)", text),
  name: flag('--name <name>', "this controller's name (default: the host's)", text),
  warnBackupDays: flag(
    '--warn-backup-days <n>',
    'warn once `tenetctl backup` was last run so many days ago, 0 for never (default: 7)',
    parseDays,
  ),
  logLevel: flag('--log-level <level>', `${LOG_LEVELS.join(', ')} (default: info)`, parseLevel),
};

const REPEATED = {
  listen: flag(
    '--listen <host:port|unix:path>',
    'address that serves REST; repeatable (default: 127.0.0.1:7480)',
    parseListen,
  ),
  pools: flag('--pool <cidr>', "network for tenants' subnets; repeatable (default: 10.128.0.0/9)", parseCidr),
  platformNetworks: flag(
    '--platform-network <cidr>',
    'network of the platform, closed to containers; repeatable',
    parseCidr,
  ),
  openNetworks: flag(
    '--open-network <cidr>',
    'open to containers, of 100.64.0.0/10, 168.63.129.16 and 192.0.0.0/24, closed by default; repeatable',
    parseCidr,
  ),
  exceptions: flag(
    '--exception <name=address:port/proto>',
    'address and port that containers of all tenants may call; repeatable',
    parseException,
  ),
};

function readValues(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
  print: (text: string) => void,
) {
  const program = new Command('tenet-controller')
    .description("Tenet's controller: REST for tenants, their networks and nodes.")
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => undefined });
  for (const { flags, description } of [...Object.values(SINGLE), ...Object.values(REPEATED)]) {
    const option = new Option(flags, `${description} [env: ${variableOf(flags)}]`);
    const isRepeated = Object.values(REPEATED).some((each) => each.flags === flags);
    if (isRepeated) option.argParser((value, before: readonly string[] | undefined) => [...(before ?? []), value]);
    program.addOption(option);
  }
  const given = program
    .addHelpText('after', '\nIn the environment, a repeatable flag takes a comma-separated list.')
    .allowExcessArguments(false)
    .parse([...argv], { from: 'user' })
    .opts<Readonly<Record<string, string | readonly string[]>>>();
  const textsOf = (flags: string): readonly string[] | undefined => {
    const fromFlag = given[optionName(flags)];
    if (fromFlag !== undefined) return [fromFlag].flat();
    const fromEnv = env[variableOf(flags)];
    return fromEnv === undefined || fromEnv === '' ? undefined : fromEnv.split(',');
  };
  const single = <T>(wanted: Flag<T>): T | undefined => {
    const texts = textsOf(wanted.flags);
    return texts && parseAs(wanted, texts.join(','));
  };
  const repeated = <T>(wanted: Flag<T>): T[] | undefined => textsOf(wanted.flags)?.map((each) => parseAs(wanted, each));
  return {
    embeddedEtcd: single(SINGLE.embeddedEtcd),
    etcd: single(SINGLE.etcd),
    etcdListen: single(SINGLE.etcdListen),
    etcdTimeout: single(SINGLE.etcdTimeout),
    subnetPrefixLength: single(SINGLE.subnetPrefixLength),
    blockPrefixLength: single(SINGLE.blockPrefixLength),
    defaultTenant: single(SINGLE.defaultTenant),
    tokenFile: single(SINGLE.tokenFile),
    name: single(SINGLE.name),
    warnBackupDays: single(SINGLE.warnBackupDays),
    logLevel: single(SINGLE.logLevel),
    listen: repeated(REPEATED.listen),
    pools: repeated(REPEATED.pools),
    platformNetworks: repeated(REPEATED.platformNetworks),
    openNetworks: repeated(REPEATED.openNetworks),
    exceptions: repeated(REPEATED.exceptions),
  };
}

function parseAs<T>({ flags, parse }: Flag<T>, value: string): T {
  try {
    return parse(value);
  } catch (error) {
    if (error instanceof InvalidArgumentError || error instanceof AddressError)
      throw new InvalidInput(longName(flags), error.message);
    throw error;
  }
}

const longName = (flags: string) => flags.split(' ')[0] ?? flags;
/** `--token-file <path>` → `tokenFile` */
const optionName = (flags: string) =>
  longName(flags)
    .slice(2)
    .replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
/** `--token-file <path>` → `TENET_TOKEN_FILE` */
const variableOf = (flags: string) => `TENET_${longName(flags).slice(2).replaceAll('-', '_').toUpperCase()}`;

function clusterOptions(values: Values): ClusterOptions {
  const { pools, subnetPrefixLength, blockPrefixLength, platformNetworks, openNetworks, exceptions, defaultTenant } =
    values;
  return {
    ...(pools && { pools }),
    ...(subnetPrefixLength === undefined ? {} : { subnetPrefixLength }),
    ...(blockPrefixLength === undefined ? {} : { blockPrefixLength }),
    ...(platformNetworks && { platformNetworks }),
    ...(openNetworks && { openNetworks }),
    ...(exceptions && { exceptions }),
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
  };
}

function etcdConfig({ etcd, embeddedEtcd, etcdListen }: Values): EtcdConfig {
  if (etcd === undefined) {
    const { host, port } = etcdListen ?? { host: '127.0.0.1', port: 2379 };
    return { kind: 'embedded', dataDir: embeddedEtcd ?? '/var/lib/tenet/etcd', listenAddress: host, port };
  }
  if (embeddedEtcd !== undefined) throw new InvalidInput('--embedded-etcd', 'cannot be given along with --etcd');
  if (etcdListen !== undefined)
    throw new InvalidInput('--etcd-listen', 'is for the embedded etcd: it cannot be given along with --etcd');
  return { kind: 'external', endpoints: etcd };
}
