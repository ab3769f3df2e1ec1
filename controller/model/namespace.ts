/**
 * Namespaces: labels, and the one label each has. Pure.
 */
import { collectFaults } from './faults.ts';
import { checkLabels, checkName } from './names.ts';
import type { Labels, Namespace } from './records.ts';

/** @see https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name */
export const NAME_LABEL = 'kubernetes.io/metadata.name';

/** A new namespace as it begins: with no label but its name. */
export function namespaceWithLabels(tenant: string, name: string, labels: Labels = {}): Namespace {
  return { tenant, name, labels: { ...labels, [NAME_LABEL]: name } };
}

/** @throws InvalidInput for a bad name, bad labels, or a name label that says something else */
export function parseNamespace(tenant: string, name: string, labels: Labels = {}): Namespace {
  return collectFaults((fault) => {
    checkName(name, 'namespace', fault);
    checkLabels(labels, 'labels', fault);
    const named = labels[NAME_LABEL];
    if (named !== undefined && named !== name)
      fault(`labels["${NAME_LABEL}"]`, `is always the namespace's name, ${JSON.stringify(name)}`);
    return namespaceWithLabels(tenant, name, labels);
  });
}
