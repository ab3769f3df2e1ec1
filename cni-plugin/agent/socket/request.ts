/**
 * What an attachment asks for, in the words of the model: read from the binary's request, every source in its order, by
 * Kubernetes' rules. Decides what was meant, not whether it can be given. No I/O.
 */
import { createHash } from 'node:crypto';
import { InvalidInput } from '../../../controller/errors.ts';
import {
  isDnsLabel,
  isLabelKey,
  isLabelValue,
  isPort,
  isPortName,
  MAX_LABELS,
  MAX_PORTS,
  portMeaning,
} from '../../../controller/model/names.ts';
import type { Labels, NamedPort, Protocol } from '../../../controller/model/records.ts';
import {
  AddressError,
  addressBits,
  familyOf,
  type IpAddress,
  type MacAddress,
  macToBytes,
  parseIp,
  parseMac,
} from '../../../dataplane/address.ts';
import type { AgentRequest, CniArgs } from '../../agent-protocol.ts';

/** An address asked for, and the field to blame when it cannot be given. */
export interface WantedIp {
  readonly address: IpAddress;
  readonly field: string;
}

/** One attachment as asked for. Who owns it is decided from the tenant sources, in their order. */
export interface EndpointRequest {
  /** 12 hex digits, see {@link endpointId} */
  readonly id: string;
  readonly containerId: string;
  readonly ifname: string;
  /** path; empty for a DEL whose namespace is gone */
  readonly netns: string;
  /** first source: `args.cni.tenant` */
  readonly tenantArg?: string;
  /** second source: the configuration's `tenant` */
  readonly tenantConfig?: string;
  /** third source: K8S_POD_NAMESPACE, whose owner it is; absent: the tenant's namespace of its own name */
  readonly namespace?: string;
  /** K8S_POD_NAME, else the container id */
  readonly name: string;
  readonly labels: Labels;
  readonly ports: readonly NamedPort[];
  /** at most one of each family */
  readonly wantedIps: readonly WantedIp[];
  readonly wantedMac?: MacAddress;
}

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

/** The endpoint of one interface of one container: 48 bits of SHA-256, for `tnp` and 12 digits just fit a link's name. */
export function endpointId(containerId: string, ifname: string): string {
  return createHash('sha256').update(`${containerId}/${ifname}`).digest('hex').slice(0, 12);
}

/**
 * Reads a request's facts. Of a DEL, only what says which endpoint is meant: what an ADD was refused for must not keep its DEL
 * from succeeding.
 * @throws InvalidInput naming the field, such as `args.cni.labels[0].key`
 */
export function parseEndpointRequest(request: AgentRequest): EndpointRequest {
  const { command, containerId, ifname, netns, args, config } = request;
  const attachment = { id: endpointId(containerId, ifname), containerId, ifname, netns };
  if (command === 'DEL') return { ...attachment, name: containerId, labels: {}, ports: [], wantedIps: [] };
  const cni = config.args?.cni ?? {};
  return {
    ...attachment,
    ...optional('tenantArg', parseTenant('args.cni.tenant', cni.tenant)),
    ...optional('tenantConfig', parseTenant('tenant', config.tenant)),
    ...optional('namespace', parseNamespace(args.K8S_POD_NAMESPACE)),
    name: parseName(args.K8S_POD_NAME) ?? containerId,
    labels: parseLabels(cni.labels ?? []),
    ports: parsePorts(cni.ports ?? []),
    wantedIps: parseWantedIps(request, cni),
    ...optional('wantedMac', parseWantedMac(request)),
  };
}

/** `{}` for nothing, because optional fields are absent rather than undefined. */
function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function parseTenant(field: string, name: string | null | undefined): string | undefined {
  if (name === undefined || name === null) return undefined;
  if (!isDnsLabel(name)) throw new InvalidInput(field, `${JSON.stringify(name)} is not a tenant's name (a DNS label)`);
  return name;
}

/** Runtimes without Kubernetes leave these out or empty. */
function parseNamespace(namespace: string | undefined): string | undefined {
  if (namespace === undefined || namespace === '') return undefined;
  if (isDnsLabel(namespace)) return namespace;
  throw new InvalidInput('K8S_POD_NAMESPACE', `${JSON.stringify(namespace)} is not a namespace's name (a DNS label)`);
}

/** Also podman's containers, whose names are freer than pods'. */
function parseName(name: string | undefined): string | undefined {
  if (name === undefined || name === '') return undefined;
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,252}$/.test(name)) return name;
  throw new InvalidInput('K8S_POD_NAME', `${JSON.stringify(name)} is not a pod's or container's name`);
}

/** @see Kubernetes, "Labels and Selectors", section "Syntax and character set" */
function parseLabels(labels: NonNullable<CniArgs['labels']>): Labels {
  const parsed = new Map<string, string>();
  if (labels.length > MAX_LABELS) throw tooMany('args.cni.labels', labels.length, MAX_LABELS);
  for (const [index, { key, value }] of labels.entries()) {
    const field = `args.cni.labels[${index}]`;
    if (!isLabelKey(key)) throw new InvalidInput(`${field}.key`, `${JSON.stringify(key)} is not a label's key`);
    if (!isLabelValue(value)) {
      throw new InvalidInput(`${field}.value`, `${JSON.stringify(value)} is not a label's value`);
    }
    if (parsed.has(key)) throw new InvalidInput(`${field}.key`, `${JSON.stringify(key)} is given twice`);
    parsed.set(key, value);
  }
  return Object.fromEntries(parsed);
}

function tooMany(field: string, given: number, allowed: number): InvalidInput {
  return new InvalidInput(field, `has ${given} entries; at most ${allowed} are allowed`);
}

/**
 * One name may mean one port of each protocol.
 * @see Kubernetes API, ContainerPort; its name is an IANA service name (RFC 6335, section 5.1)
 */
function parsePorts(ports: NonNullable<CniArgs['ports']>): readonly NamedPort[] {
  const meanings = new Set<string>();
  if (ports.length > MAX_PORTS) throw tooMany('args.cni.ports', ports.length, MAX_PORTS);
  return ports.map(({ name, containerPort, protocol }, index) => {
    const field = `args.cni.ports[${index}]`;
    if (!isPortName(name)) throw new InvalidInput(`${field}.name`, `${JSON.stringify(name)} is not a port's name`);
    if (!isPort(containerPort)) {
      throw new InvalidInput(`${field}.containerPort`, `${containerPort} is not a port from 1 to 65535`);
    }
    const found = PROTOCOLS.find((each) => each === (protocol ?? 'TCP'));
    if (found === undefined) {
      throw new InvalidInput(`${field}.protocol`, `${JSON.stringify(protocol)} is none of ${PROTOCOLS.join(', ')}`);
    }
    const meaning = portMeaning({ name, protocol: found });
    if (meanings.has(meaning))
      throw new InvalidInput(`${field}.name`, `${JSON.stringify(name)} is given twice for ${found}`);
    meanings.add(meaning);
    return { name, containerPort, protocol: found };
  });
}

/**
 * Addresses asked for, wherever. The conventions have `args` hide the older CNI_ARGS; other sources must name the same ones.
 * A prefix length says nothing to Tenet, whose containers have /32 and /128 addresses.
 * @see CNI conventions, sections "Well-known Capabilities" and "CNI_ARGS"
 */
function parseWantedIps({ args, config }: AgentRequest, cni: CniArgs): readonly WantedIp[] {
  const fromArgs = parseIps('args.cni.ips', cni.ips ?? []);
  const fromEnvironment =
    fromArgs.length > 0 ? [] : parseIps('CNI_ARGS IP', (args.IP ?? '').split(',').filter(Boolean));
  const sources = [parseIps('runtimeConfig.ips', config.runtimeConfig?.ips ?? []), fromArgs, fromEnvironment];
  const [first, second] = sources.filter((source) => source.length > 0);
  if (first === undefined) return [];
  if (second !== undefined && textOf(first) !== textOf(second)) {
    const [one, other] = [first, second].map((source) => `${source.map((ip) => ip.field)} (${textOf(source)})`);
    throw new InvalidInput(second[0]?.field ?? 'ips', `${other} and ${one} ask for different addresses`);
  }
  return first;
}

function parseIps(field: string, texts: readonly string[]): readonly WantedIp[] {
  const wanted = texts.map((text, index) => {
    const at = field.startsWith('CNI_ARGS') ? field : `${field}[${index}]`;
    return { address: parseIpWithLength(at, text), field: at };
  });
  for (const [index, { address, field: at }] of wanted.entries()) {
    const family = familyOf(address);
    if (wanted.findIndex((other) => familyOf(other.address) === family) !== index) {
      throw new InvalidInput(at, `${address} is a second IPv${family} address; a container's interface has one`);
    }
  }
  return wanted;
}

function parseIpWithLength(field: string, text: string): IpAddress {
  const [base = '', length, ...rest] = text.split('/');
  try {
    const address = parseIp(base);
    const isLength =
      length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= addressBits(familyOf(address)));
    if (isLength && rest.length === 0) return address;
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
  }
  throw new InvalidInput(field, `${JSON.stringify(text)} is not an IP address such as 10.0.0.7 or 10.0.0.7/24`);
}

function textOf(ips: readonly WantedIp[]): string {
  return ips
    .map((ip) => ip.address)
    .sort()
    .join(', ');
}

function parseWantedMac({ args, config }: AgentRequest): MacAddress | undefined {
  const wanted = [
    { field: 'runtimeConfig.mac', text: config.runtimeConfig?.mac },
    { field: 'CNI_ARGS MAC', text: args.MAC },
  ].flatMap(({ field, text }) => (text ? [{ field, mac: parseUnicastMac(field, text) }] : []));
  const [first, second] = wanted;
  if (first !== undefined && second !== undefined && first.mac !== second.mac) {
    throw new InvalidInput(second.field, `${second.mac} is not what ${first.field} asks for, ${first.mac}`);
  }
  return first?.mac;
}

/** The kernel gives no interface a group address or zero. @see include/linux/etherdevice.h, is_valid_ether_addr */
function parseUnicastMac(field: string, text: string): MacAddress {
  try {
    const mac = parseMac(text);
    const bytes = macToBytes(mac);
    if (((bytes[0] ?? 0) & 1) === 0 && bytes.some((byte) => byte !== 0)) return mac;
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
  }
  throw new InvalidInput(field, `${JSON.stringify(text)} is not the MAC address of one interface`);
}
