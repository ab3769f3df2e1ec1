/**
 * Label selectors: what they select. Pure.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import type { LabelSelector, Labels, SelectorRequirement } from './records.ts';

/** All requirements hold; an empty selector selects everything. (A missing one is its reader's to interpret.) */
export function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(matchLabels)) if (labelOf(labels, key) !== value) return false;
  return matchExpressions.every((requirement) => holds(requirement, labels));
}

/** A label that is absent differs from every value. */
function holds({ key, operator, values = [] }: SelectorRequirement, labels: Labels): boolean {
  const value = labelOf(labels, key);
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
