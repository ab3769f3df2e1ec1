/**
 * Policies: Kubernetes' networking.k8s.io/v1 NetworkPolicy, the whole object or its bare spec, judged by Kubernetes' own rules of
 * admission. What `kubectl get networkpolicy -o yaml` prints and what Tenet itself answers is accepted as it is. Pure.
 * @see https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
import { collectFaults, entryPath, type Fault } from './faults.ts';
import { checkLabelKey, checkLabels, checkName, checkSubdomain } from './names.ts';
import { readPolicySpec } from './policy-spec.ts';
import type { Policy } from './records.ts';
import { type Fields, isAbsent, isObject, readFields, readText, readTexts } from './untyped.ts';

export const POLICY_API_VERSION = 'networking.k8s.io/v1';
export const POLICY_KIND = 'NetworkPolicy';

/** Where a policy is: what its path in REST says. */
export type PolicyName = Pick<Policy, 'tenant' | 'namespace' | 'name'>;

/** What a body says of a policy. */
export type PolicyContents = Pick<Policy, 'labels' | 'annotations' | 'spec'>;

/** A body with one of these is the whole object; else it is the spec. */
const MARKS = ['apiVersion', 'kind', 'metadata', 'spec'];

/** Fields that a Kubernetes API server sets: accepted and ignored. */
const IGNORED_METADATA = [
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
];

/** @throws InvalidInput with every fault, by its path in the whole object: `spec.ingress[0].ports[0].endPort` */
export function parsePolicy(tenant: string, namespace: string, name: string, body: unknown): PolicyContents {
  return collectFaults((fault) => {
    checkName(namespace, 'metadata.namespace', fault);
    checkSubdomain(name, 'metadata.name', fault);
    if (!isObject(body)) fault('body', 'must be a NetworkPolicy, or its spec');
    const object = isObject(body) ? wholeOf(body) : {};
    const known = ['apiVersion', 'kind', 'metadata', 'spec', 'status', 'tenant', 'revision'];
    const { apiVersion, kind, metadata, spec, tenant: owner } = readFields(object, '', known, fault);
    checkSame(apiVersion, 'apiVersion', POLICY_API_VERSION, fault);
    checkSame(kind, 'kind', POLICY_KIND, fault);
    checkSame(owner, 'tenant', tenant, fault);
    return { ...readMetadata(metadata, { namespace, name }, fault), spec: readPolicySpec(spec, 'spec', fault) };
  });
}

function wholeOf(body: Fields): Fields {
  return MARKS.some((field) => Object.hasOwn(body, field)) ? body : { spec: body };
}

function readMetadata(
  value: unknown,
  own: Pick<Policy, 'namespace' | 'name'>,
  fault: Fault,
): Pick<PolicyContents, 'labels' | 'annotations'> {
  const known = ['name', 'namespace', 'labels', 'annotations', ...IGNORED_METADATA];
  const fields = readFields(value, 'metadata', known, fault);
  checkSame(fields.name, 'metadata.name', own.name, fault);
  checkSame(fields.namespace, 'metadata.namespace', own.namespace, fault);
  const labels = readTexts(fields.labels, 'metadata.labels', fault);
  checkLabels(labels, 'metadata.labels', fault);
  const annotations = readTexts(fields.annotations, 'metadata.annotations', fault);
  for (const key of Object.keys(annotations))
    checkLabelKey(key.toLowerCase(), entryPath('metadata.annotations', key), fault);
  return {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** What may be left out, but not say something else. */
function checkSame(value: unknown, path: string, wanted: string, fault: Fault): void {
  const text = readText(value, path, fault);
  if (!isAbsent(text) && text !== wanted) fault(path, `must be ${JSON.stringify(wanted)}`);
}
