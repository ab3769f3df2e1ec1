/**
 * What things may be called: tenants and namespaces by RFC 1123 labels, nodes by DNS names, labels by Kubernetes' rules. Pure.
 */
import { entryPath, type Fault } from './faults.ts';
import type { Labels } from './records.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const MAX_LABELS = 64;

/** @see RFC 1123 section 2.1; at most 63 characters */
export function checkName(name: string, field: string, fault: Fault): void {
  if (!DNS_LABEL.test(name))
    fault(field, 'must be 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends');
}

/** A DNS subdomain of at most 253 characters, as nodes are called. */
export function isDnsSubdomain(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => DNS_LABEL.test(label));
}

/**
 * Keys `[prefix/]name` and values by Kubernetes' rules.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
 */
export function checkLabels(labels: Labels, field: string, fault: Fault): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) fault(field, `has ${entries.length} labels; at most ${MAX_LABELS} are allowed`);
  for (const [key, value] of entries) {
    if (!isLabelKey(key))
      fault(
        entryPath(field, key),
        'the key must be [prefix/]name: name of up to 63 letters, digits, "-", "_" and ".", prefix a DNS name',
      );
    if (value !== '' && !QUALIFIED_NAME.test(value))
      fault(
        entryPath(field, key),
        'the value must be empty or up to 63 letters, digits, "-", "_" and ".", a letter or digit at both ends',
      );
  }
}

function isLabelKey(key: string): boolean {
  const [first = '', second, ...rest] = key.split('/');
  if (rest.length > 0) return false;
  return second === undefined ? QUALIFIED_NAME.test(first) : isDnsSubdomain(first) && QUALIFIED_NAME.test(second);
}
