/**
 * What things may be called: tenants and namespaces by RFC 1123 labels, nodes by DNS names, labels by Kubernetes' rules. Pure.
 */
import { entryPath, type Fault } from './faults.ts';
import type { Labels, NamedPort } from './records.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const PORT_NAME = /^(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/;
/** Of one object. What a runtime or a caller gives a container is in the store as often as it is started. */
export const MAX_LABELS = 64;
/** Named ones of one endpoint. */
export const MAX_PORTS = 128;

/** @see RFC 1123 section 2.1; at most 63 characters */
export function checkName(name: string, field: string, fault: Fault): void {
  if (!isDnsLabel(name))
    fault(field, 'must be 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends');
}

/** What Kubernetes calls most of its objects, and Tenet its nodes: a DNS name, of which only the whole is bounded, at 253 characters. */
export function isSubdomain(name: string): boolean {
  return name.length <= 253 && DNS_SUBDOMAIN.test(name);
}

export function isDnsLabel(name: string): boolean {
  return DNS_LABEL.test(name);
}

export function checkSubdomain(name: string, field: string, fault: Fault): void {
  if (!isSubdomain(name))
    fault(
      field,
      'must be 1 to 253 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends and beside each dot',
    );
}

/** @see RFC 6335 section 5.1, in lower case as Kubernetes has it */
export function isPortName(name: string): boolean {
  return PORT_NAME.test(name);
}

export function checkPortName(name: string, field: string, fault: Fault): void {
  if (!isPortName(name))
    fault(
      field,
      'must be 1 to 15 lower-case letters, digits and single hyphens, with a letter among them, a letter or digit at both ends',
    );
}

/** What tells one named port of an endpoint from another: a name may mean one port of each protocol. */
export function portMeaning({ name, protocol }: Pick<NamedPort, 'name' | 'protocol'>): string {
  return `${protocol} ${name}`;
}

export function isPort(port: unknown): port is number {
  return Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65_535;
}

/**
 * Keys `[prefix/]name` and values by Kubernetes' rules.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
 */
export function checkLabels(labels: Labels, field: string, fault: Fault): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) fault(field, `has ${entries.length} labels; at most ${MAX_LABELS} are allowed`);
  for (const [key, value] of entries) checkLabel(key, value, entryPath(field, key), fault);
}

export function checkLabel(key: string, value: string, field: string, fault: Fault): void {
  checkLabelKey(key, field, fault);
  checkLabelValue(value, field, fault);
}

export function checkLabelKey(key: string, field: string, fault: Fault): void {
  if (!isLabelKey(key))
    fault(
      field,
      'the key must be [prefix/]name: name of up to 63 letters, digits, "-", "_" and ".", prefix a DNS name',
    );
}

export function checkLabelValue(value: string, field: string, fault: Fault): void {
  if (!isLabelValue(value))
    fault(
      field,
      'the value must be empty or up to 63 letters, digits, "-", "_" and ".", a letter or digit at both ends',
    );
}

export function isLabelValue(value: string): boolean {
  return value === '' || QUALIFIED_NAME.test(value);
}

/** `[prefix/]name`; of the prefix, as of every DNS name, only the whole is bounded. */
export function isLabelKey(text: string): boolean {
  const [first = '', second, ...rest] = text.split('/');
  if (rest.length > 0) return false;
  return second === undefined ? QUALIFIED_NAME.test(first) : isSubdomain(first) && QUALIFIED_NAME.test(second);
}
