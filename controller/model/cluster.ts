/**
 * The cluster's own configuration: how it is born, and what of it may change later. Pools and lengths are for ever, for every
 * subnet and block stands on them. Pure.
 */
import {
  addressBits,
  familyOf,
  type IpAddress,
  type IpFamily,
  type IpPrefix,
  parseIp,
  parsePrefix,
  prefixBase,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
} from '../../dataplane/address.ts';
import { collectFaults, type Fault } from './faults.ts';
import { checkName } from './names.ts';
import type { ClusterConfig, Exception, Protocol } from './records.ts';
import { SERVICE_NETWORKS } from './service-networks.ts';
import { checkPrefix } from './subnet.ts';

/** What an operator may say about a cluster to be; absent: the default. */
export interface ClusterOptions {
  readonly pools?: readonly IpPrefix[];
  readonly subnetPrefixLength?: number;
  readonly blockPrefixLength?: number;
  readonly platformNetworks?: readonly IpPrefix[];
  readonly openNetworks?: readonly IpPrefix[];
  readonly exceptions?: readonly Exception[];
  readonly defaultTenant?: string;
}

/** Body of PATCH /v1/cluster. */
export interface ClusterPatch {
  readonly platformNetworks?: readonly string[];
  readonly openNetworks?: readonly string[];
  readonly exceptions?: readonly ExceptionRequest[];
  readonly defaultTenant?: string | null;
}

export interface ExceptionRequest {
  readonly name: string;
  readonly address: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What is left closed around each is a rule or a few for every container's packets to go by. */
export const MOST_OPEN_NETWORKS = 16;
const DEFAULT_POOLS: readonly IpPrefix[] = [parsePrefix('10.128.0.0/9')];
const SUBNET_LENGTH = { v4: 22, v6: 64 } as const;
const BLOCK_LENGTH = { v4: 27, v6: 123 } as const;

/**
 * A new cluster's configuration. The system tenant gets the beginning of the first pool of each family.
 * @throws InvalidInput, fields as in ClusterOptions
 */
export function newCluster(options: ClusterOptions): ClusterConfig {
  const cluster: ClusterConfig = {
    pools: options.pools ?? DEFAULT_POOLS,
    systemSubnets: systemSubnets(options.pools ?? DEFAULT_POOLS),
    subnetPrefixLength: { v4: options.subnetPrefixLength ?? SUBNET_LENGTH.v4, v6: SUBNET_LENGTH.v6 },
    blockPrefixLength: { v4: options.blockPrefixLength ?? BLOCK_LENGTH.v4, v6: BLOCK_LENGTH.v6 },
    platformNetworks: options.platformNetworks ?? [],
    ...(options.openNetworks && { openNetworks: options.openNetworks }),
    exceptions: options.exceptions ?? [],
    ...(options.defaultTenant === undefined ? {} : { defaultTenant: options.defaultTenant }),
  };
  return collectFaults((fault) => {
    checkPools(cluster.pools, fault);
    for (const family of [4, 6] as const) checkLengths(cluster, family, fault);
    checkOpenings(cluster, fault);
    if (cluster.defaultTenant !== undefined) checkName(cluster.defaultTenant, 'defaultTenant', fault);
    return cluster;
  });
}

/** A quarter of a small pool, else as much as a tenant gets by default. */
function systemSubnets(pools: readonly IpPrefix[]): IpPrefix[] {
  return ([4, 6] as const).flatMap((family) => {
    const pool = pools.find((each) => familyOf(each) === family);
    if (pool === undefined) return [];
    const usual = family === 4 ? SUBNET_LENGTH.v4 : SUBNET_LENGTH.v6;
    const length = Math.min(Math.max(usual, prefixLength(pool) + 2), addressBits(family));
    return [prefixOf(prefixBase(pool), length)];
  });
}

function checkPools(pools: readonly IpPrefix[], fault: Fault): void {
  if (pools.length === 0) fault('pools', 'must name at least one network');
  for (const [index, pool] of pools.entries()) {
    const before = pools.slice(0, index).find((each) => prefixesOverlap(each, pool));
    if (before !== undefined) fault(`pools[${index}]`, `${pool} overlaps ${before}`);
    const longest = familyOf(pool) === 4 ? 26 : 120;
    if (prefixLength(pool) > longest) fault(`pools[${index}]`, `${pool} is too small: /${longest} at most`);
  }
}

function checkLengths(
  { pools, subnetPrefixLength, blockPrefixLength }: ClusterConfig,
  family: IpFamily,
  fault: Fault,
): void {
  const ofFamily = pools.filter((pool) => familyOf(pool) === family);
  if (ofFamily.length === 0) return;
  const [subnet, block] =
    family === 4 ? [subnetPrefixLength.v4, blockPrefixLength.v4] : [subnetPrefixLength.v6, blockPrefixLength.v6];
  const shortest = Math.min(...ofFamily.map(prefixLength));
  if (subnet < shortest) fault('subnetPrefixLength', `/${subnet} is larger than the pool (/${shortest})`);
  if (block < subnet)
    fault('blockPrefixLength', `a node's block (/${block}) must fit into a tenant's subnet (/${subnet})`);
  if (block > addressBits(family)) fault('blockPrefixLength', `must be at most ${addressBits(family)}`);
}

/** The configuration with the patch applied. Whether the default tenant exists is the store's to say. @throws InvalidInput */
export function patchCluster(cluster: ClusterConfig, patch: ClusterPatch): ClusterConfig {
  return collectFaults((fault) => {
    const { defaultTenant: before, ...rest } = cluster;
    const defaultTenant = patch.defaultTenant === null ? undefined : (patch.defaultTenant ?? before);
    const patched: ClusterConfig = {
      ...rest,
      ...(patch.platformNetworks && {
        platformNetworks: parseNetworks(patch.platformNetworks, 'platformNetworks', fault),
      }),
      ...(patch.openNetworks && { openNetworks: parseNetworks(patch.openNetworks, 'openNetworks', fault) }),
      ...(patch.exceptions && { exceptions: parseExceptions(patch.exceptions, fault) }),
      ...(defaultTenant === undefined ? {} : { defaultTenant }),
    };
    checkOpenings(patched, fault);
    return patched;
  });
}

function parseNetworks(networks: readonly string[], field: string, fault: Fault): IpPrefix[] {
  return networks.flatMap((text, index) => checkPrefix(text, `${field}[${index}]`, fault) ?? []);
}

function parseExceptions(requests: readonly ExceptionRequest[], fault: Fault): Exception[] {
  return requests.flatMap(({ name, address: text, protocol, port }, index) => {
    const address = parseAddress(text, `exceptions[${index}].address`, fault);
    return address === undefined ? [] : [{ name, address, protocol, port }];
  });
}

function parseAddress(text: string, field: string, fault: Fault): IpAddress | undefined {
  try {
    return parseIp(text);
  } catch {
    fault(field, `${JSON.stringify(text)} is not an IP address`);
    return undefined;
  }
}

/** None may touch what tenants live in: an exception there would open one tenant to all others. */
function checkOpenings(cluster: ClusterConfig, fault: Fault): void {
  const { pools, systemSubnets: own, platformNetworks, openNetworks = [], exceptions } = cluster;
  for (const [index, network] of openNetworks.entries())
    if (!SERVICE_NETWORKS.some((each) => prefixContains(each, network)))
      fault(
        `openNetworks[${index}]`,
        `${network} is in none that is closed by default: ${SERVICE_NETWORKS.join(', ')}`,
      );
  if (openNetworks.length > MOST_OPEN_NETWORKS) fault('openNetworks', `must be at most ${MOST_OPEN_NETWORKS}`);
  for (const [index, network] of platformNetworks.entries()) {
    const pool = pools.find((each) => prefixesOverlap(each, network));
    if (pool !== undefined) fault(`platformNetworks[${index}]`, `${network} overlaps the pool ${pool}`);
  }
  const names = new Set<string>();
  for (const [index, { name, address }] of exceptions.entries()) {
    checkName(name, `exceptions[${index}].name`, fault);
    if (names.has(name)) fault(`exceptions[${index}].name`, `${JSON.stringify(name)} is there twice`);
    names.add(name);
    const isTenants =
      pools.some((pool) => prefixContains(pool, address)) && !own.some((each) => prefixContains(each, address));
    if (isTenants)
      fault(`exceptions[${index}].address`, `${address} is a tenant's: an exception would open it to all others`);
  }
}

/**
 * Which of the options given do not fit the cluster that exists already.
 * @returns fields as in ClusterOptions: those that can never change, and those that REST may change
 */
export function differences(
  cluster: ClusterConfig,
  options: ClusterOptions,
): { readonly fixed: readonly (keyof ClusterOptions)[]; readonly changeable: readonly (keyof ClusterOptions)[] } {
  const now: Required<Omit<ClusterOptions, 'defaultTenant'>> & Pick<ClusterConfig, 'defaultTenant'> = {
    openNetworks: [],
    ...cluster,
    subnetPrefixLength: cluster.subnetPrefixLength.v4,
    blockPrefixLength: cluster.blockPrefixLength.v4,
  };
  const differs = (field: keyof ClusterOptions) =>
    options[field] !== undefined && JSON.stringify(options[field]) !== JSON.stringify(now[field]);
  return {
    fixed: (['pools', 'subnetPrefixLength', 'blockPrefixLength'] as const).filter(differs),
    changeable: (['platformNetworks', 'openNetworks', 'exceptions', 'defaultTenant'] as const).filter(differs),
  };
}
