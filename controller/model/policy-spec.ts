/**
 * `spec` of a NetworkPolicy, by Kubernetes' own rules of admission and with its defaults filled in. Pure.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
 */
import {
  AddressError,
  type IpPrefix,
  parseIp,
  prefixContains,
  prefixLength,
  prefixOf,
} from '../../dataplane/address.ts';
import { entryPath, type Fault } from './faults.ts';
import { checkLabel, checkLabelKey, checkLabelValue, checkPortName, isPort } from './names.ts';
import type {
  EgressRule,
  IngressRule,
  IpBlock,
  LabelSelector,
  PolicyPeer,
  PolicyPort,
  PolicySpec,
  PolicyType,
  Protocol,
  SelectorOperator,
  SelectorRequirement,
} from './records.ts';
import { type Fields, isAbsent, isObject, readEach, readFields, readList, readText, readTexts } from './untyped.ts';

const POLICY_TYPES: readonly PolicyType[] = ['Ingress', 'Egress'];
const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const OPERATORS: readonly SelectorOperator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

const PORT_RANGE = 'must be 1 to 65535';

/** A spec that is absent is an empty one: it selects every endpoint of its namespace and lets nothing in. */
export function readPolicySpec(value: unknown, path: string, fault: Fault): PolicySpec {
  const fields = readFields(value, path, ['podSelector', 'policyTypes', 'ingress', 'egress'], fault);
  const ingress = readRules(fields.ingress, `${path}.ingress`, 'from', fault);
  const egress = readRules(fields.egress, `${path}.egress`, 'to', fault);
  return {
    podSelector: readSelector(fields.podSelector, `${path}.podSelector`, fault),
    policyTypes: readPolicyTypes(fields.policyTypes, `${path}.policyTypes`, egress.length > 0, fault),
    ...(ingress.length === 0 ? {} : { ingress }),
    ...(egress.length === 0 ? {} : { egress }),
  };
}

/** None: Ingress, and Egress where there are rules of it. Each once, in one order. */
function readPolicyTypes(value: unknown, path: string, hasEgress: boolean, fault: Fault): PolicyType[] {
  const types = readList(value, path, fault);
  if (types.length === 0) return hasEgress ? ['Ingress', 'Egress'] : ['Ingress'];
  if (types.length > POLICY_TYPES.length) fault(path, 'must be two at most');
  else types.forEach((type, index) => void readChoice(type, `${path}[${index}]`, POLICY_TYPES, fault));
  return POLICY_TYPES.filter((type) => types.includes(type));
}

/** @param peersField `from` or `to`; both absent and empty mean any peer */
function readRules(
  value: unknown,
  path: string,
  peersField: 'from' | 'to',
  fault: Fault,
): IngressRule[] | EgressRule[] {
  const readRule = (rule: Fields, at: string) => {
    const fields = readFields(rule, at, [peersField, 'ports'], fault);
    const peers = readEach(fields[peersField], `${at}.${peersField}`, readPeer, fault);
    const ports = readEach(fields.ports, `${at}.ports`, readPort, fault);
    return {
      ...(peers.length === 0 ? {} : { [peersField]: peers }),
      ...(ports.length === 0 ? {} : { ports }),
    };
  };
  return readEach(value, path, readRule, fault);
}

function readPeer(value: Fields, path: string, fault: Fault): PolicyPeer {
  const fields = readFields(value, path, ['podSelector', 'namespaceSelector', 'ipBlock'], fault);
  const given = Object.keys(fields).filter((field) => !isAbsent(fields[field]));
  if (given.length === 0) fault(path, 'must have podSelector, namespaceSelector or ipBlock');
  if (given.length > 1 && given.includes('ipBlock')) fault(path, 'cannot have selectors beside ipBlock');
  const selector = (field: 'podSelector' | 'namespaceSelector') =>
    given.includes(field) ? { [field]: readSelector(fields[field], `${path}.${field}`, fault) } : {};
  return {
    ...selector('podSelector'),
    ...selector('namespaceSelector'),
    ...(given.includes('ipBlock') ? { ipBlock: readIpBlock(fields.ipBlock, `${path}.ipBlock`, fault) } : {}),
  };
}

function readPort(value: Fields, path: string, fault: Fault): PolicyPort {
  const fields = readFields(value, path, ['protocol', 'port', 'endPort'], fault);
  const protocol = isAbsent(fields.protocol)
    ? 'TCP'
    : readChoice(fields.protocol, `${path}.protocol`, PROTOCOLS, fault);
  const port = readPortNumberOrName(fields.port, `${path}.port`, fault);
  const endPort = readEndPort(fields, port, `${path}.endPort`, fault);
  return { protocol, ...(port === undefined ? {} : { port }), ...(endPort === undefined ? {} : { endPort }) };
}

function readPortNumberOrName(value: unknown, path: string, fault: Fault): number | string | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value === 'string') {
    checkPortName(value, path, fault);
    return value;
  }
  if (Number.isInteger(value)) {
    if (!isPort(value)) fault(path, PORT_RANGE);
    return Number(value);
  }
  fault(path, 'must be a whole number, or the name of a port');
  return undefined;
}

function readEndPort(
  { port: given, endPort }: Fields,
  port: number | string | undefined,
  path: string,
  fault: Fault,
): number | undefined {
  if (isAbsent(endPort)) return undefined;
  if (!Number.isInteger(endPort)) fault(path, 'must be a whole number');
  else if (isAbsent(given)) fault(path, 'ends a range, which begins with port: that is missing');
  else if (typeof port === 'string') fault(path, 'ends a range, which begins with a number: port is a name');
  else if (!isPort(endPort)) fault(path, PORT_RANGE);
  else if (port !== undefined && endPort < port) fault(path, 'must be port or more');
  else return endPort;
  return undefined;
}

/** Host bits are cleared: judging an address by the block ignores them. */
function readIpBlock(value: unknown, path: string, fault: Fault): IpBlock {
  const fields = readFields(value, path, ['cidr', 'except'], fault);
  if (isObject(value) && (isAbsent(fields.cidr) || fields.cidr === '')) fault(`${path}.cidr`, 'is required');
  const cidr = fields.cidr === '' ? undefined : readCidr(fields.cidr, `${path}.cidr`, fault);
  const except = readList(fields.except, `${path}.except`, fault).flatMap((each, index) => {
    const at = `${path}.except[${index}]`;
    if (isAbsent(each)) fault(at, 'must be text');
    const hole = readCidr(each, at, fault);
    if (hole === undefined || cidr === undefined) return [];
    if (!prefixContains(cidr, hole) || prefixLength(cidr) === prefixLength(hole))
      fault(at, 'must be a part of cidr, and smaller');
    return [hole];
  });
  return { cidr: cidr ?? NO_CIDR, ...(except.length === 0 ? {} : { except }) };
}

/** Stands in for a CIDR that has been refused. */
const NO_CIDR = '0.0.0.0/32' as IpPrefix;

/** @returns undefined for what is absent or has been refused */
function readCidr(value: unknown, path: string, fault: Fault): IpPrefix | undefined {
  const text = readText(value, path, fault);
  if (text === undefined) return undefined;
  const prefix = parseCidr(text);
  if (prefix === undefined)
    fault(
      path,
      'must be a CIDR such as 10.0.0.0/8 or 2001:db8::/32, without leading zeros, an IPv4 one not written as IPv6',
    );
  return prefix;
}

function parseCidr(text: string): IpPrefix | undefined {
  const [base = '', length = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  try {
    const address = parseIp(base);
    // Nothing on the wire looks like that: who writes it means the IPv4 network.
    if (prefixContains(IPV4_MAPPED, address)) return undefined;
    return prefixOf(address, Number(length));
  } catch (error) {
    if (error instanceof AddressError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** @see RFC 4291 section 2.5.5.2 */
const IPV4_MAPPED = '::ffff:0:0/96' as IpPrefix;

function readSelector(value: unknown, path: string, fault: Fault): LabelSelector {
  const fields = readFields(value, path, ['matchLabels', 'matchExpressions'], fault);
  const matchLabels = readTexts(fields.matchLabels, `${path}.matchLabels`, fault);
  for (const [key, text] of Object.entries(matchLabels))
    checkLabel(key, text, entryPath(`${path}.matchLabels`, key), fault);
  const matchExpressions = readEach(fields.matchExpressions, `${path}.matchExpressions`, readRequirement, fault);
  return {
    ...(Object.keys(matchLabels).length === 0 ? {} : { matchLabels }),
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
  };
}

function readRequirement(value: Fields, path: string, fault: Fault): SelectorRequirement {
  const fields = readFields(value, path, ['key', 'operator', 'values'], fault);
  const key = readText(fields.key, `${path}.key`, fault);
  if (isAbsent(fields.key)) fault(`${path}.key`, 'is required');
  if (key !== undefined) checkLabelKey(key, `${path}.key`, fault);
  const operator = readChoice(fields.operator, `${path}.operator`, OPERATORS, fault);
  const values = readList(fields.values, `${path}.values`, fault).map((each, index) => {
    const at = `${path}.values[${index}]`;
    if (isAbsent(each)) fault(at, 'must be text');
    const text = readText(each, at, fault) ?? '';
    checkLabelValue(text, at, fault);
    return text;
  });
  const wantsValues = operator === 'In' || operator === 'NotIn';
  if (fields.operator === operator && wantsValues !== values.length > 0)
    fault(`${path}.values`, wantsValues ? `are required with ${operator}` : `are not for ${operator}`);
  return { key: key ?? '', operator, ...(values.length === 0 ? {} : { values }) };
}

/** @returns one of them, whichever it is, where another has been refused */
function readChoice<T extends string>(value: unknown, path: string, choices: readonly T[], fault: Fault): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) fault(path, isAbsent(value) ? 'is required' : `must be ${formatChoices(choices)}`);
  return found ?? (choices[0] as T);
}

/** `In, NotIn or Exists` */
function formatChoices(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}
