/**
 * Reads what `tenetctl apply` is given: YAML or JSON, several documents, into the objects wanted. Finds every fault of a file
 * before anything is sent, each with its document and field. Judges shapes; contents.ts judges what they say. Pure.
 *
 *     apiVersion: tenet.dev/v1
 *     kind: Tenant
 *     metadata: {name: blue, labels: {plan: gold}}
 *     spec:
 *       namespaces: [blue, blue-test]
 *       subnets: [10.128.4.0/22]        # or subnetPrefixLength: 22
 *       quota: {endpoints: 100, policies: 50, subnets: 2}
 *       egress: {internet: false}
 *       ingress: {gateways: true}
 *     ---
 *     apiVersion: tenet.dev/v1
 *     kind: Namespace
 *     metadata: {name: blue-test, labels: {stage: test}}
 *     spec: {tenant: blue}
 *     ---
 *     apiVersion: tenet.dev/v1
 *     kind: Peering
 *     metadata: {name: red}             # the peer
 *     spec: {tenant: blue}              # who asks
 *
 * Besides, Kubernetes' own: `apiVersion: networking.k8s.io/v1`, `kind: NetworkPolicy`.
 */
import { checkName } from '../model/names.ts';
import { POLICY_API_VERSION } from '../model/policy.ts';
import type { Labels, Quota } from '../model/records.ts';
import { parseYamlDocuments, YamlFault } from '../model/yaml.ts';
import { isJson, type Json } from './connection.ts';
import { invalidInput } from './failures.ts';

const API_VERSION = 'tenet.dev/v1';

/** A tenant as a manifest wants it; what is absent is left as it is. */
export interface WantedTenant {
  readonly kind: 'Tenant';
  readonly name: string;
  readonly labels?: Labels;
  readonly namespaces?: readonly string[];
  readonly subnets?: readonly string[];
  readonly subnetPrefixLength?: number;
  readonly quota?: Quota;
  readonly egress?: { readonly internet?: boolean };
  readonly ingress?: { readonly gateways?: boolean };
}

export interface WantedNamespace {
  readonly kind: 'Namespace';
  readonly name: string;
  readonly tenant: string;
  readonly labels?: Labels;
}

/** `tenant` asks it of the tenant `name`. */
export interface WantedPeering {
  readonly kind: 'Peering';
  readonly name: string;
  readonly tenant: string;
}

export interface WantedPolicy {
  readonly kind: 'NetworkPolicy';
  readonly name: string;
  readonly namespace: string;
  readonly tenant: string;
  /** the document as it is */
  readonly body: Json;
}

export type Wanted = WantedTenant | WantedNamespace | WantedPolicy | WantedPeering;

/** A policy as its document has it: whose the namespace is, it does not say. */
export type UnownedPolicy = Omit<WantedPolicy, 'tenant'>;

/** An object as the manifest alone tells it. */
export type Read = Exclude<Wanted, WantedPolicy> | UnownedPolicy;

/** Faults of a value, each as `path: what it must be`. */
type Check = (value: unknown, path: string) => string[];

const must =
  (what: string, holds: (value: unknown) => boolean): Check =>
  (value, path) =>
    holds(value) ? [] : [`${path}: must be ${what}, not ${JSON.stringify(value) ?? 'empty'}`];

const text = must('text (quote it if it looks like a number)', (value) => typeof value === 'string');
const count = must('a whole number, 0 or more', (value) => Number.isInteger(value) && Number(value) >= 0);
const flag = must('true or false', (value) => typeof value === 'boolean');
const objectName: Check = (value, path) => {
  if (typeof value !== 'string') return text(value, path);
  const faults: string[] = [];
  checkName(value, path, (field, message) => faults.push(`${field}: ${message}, not ${JSON.stringify(value)}`));
  return faults;
};

function listOf(item: Check): Check {
  return (value, path) =>
    Array.isArray(value)
      ? value.flatMap((element, index) => item(element, `${path}[${index}]`))
      : [`${path}: must be a list`];
}

function mapOf(item: Check): Check {
  return (value, path) =>
    isJson(value)
      ? Object.entries(value).flatMap(([key, content]) => item(content, `${path}.${key}`))
      : [`${path}: must be a map`];
}

/** An object with these fields and no others. */
function fields(known: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  return (value, path) => {
    const at = (field: string) => (path === '' ? field : `${path}.${field}`);
    if (!isJson(value)) return [`${path || 'document'}: must be a map`];
    const missing = required.filter((field) => value[field] === undefined);
    return [
      ...missing.map((field) => `${at(field)}: is missing`),
      ...Object.entries(value).flatMap(([field, content]) => {
        const check = Object.hasOwn(known, field) ? known[field] : undefined;
        if (check === undefined) return [`${at(field)}: is no known field (known: ${Object.keys(known).join(', ')})`];
        return check(content, at(field));
      }),
    ];
  };
}

const metadata = fields({ name: objectName, labels: mapOf(text) }, ['name']);
const document = (spec: Check, required: readonly string[]) =>
  fields({ apiVersion: text, kind: text, metadata, spec }, ['metadata', ...required]);

const CHECKS: Readonly<Record<Exclude<Wanted['kind'], 'NetworkPolicy'>, Check>> = {
  Tenant: document(
    fields({
      namespaces: listOf(objectName),
      subnets: listOf(text),
      subnetPrefixLength: count,
      quota: fields({ endpoints: count, policies: count, subnets: count }),
      egress: fields({ internet: flag }),
      ingress: fields({ gateways: flag }),
    }),
    [],
  ),
  Namespace: document(fields({ tenant: objectName }, ['tenant']), ['spec']),
  Peering: fields(
    {
      apiVersion: text,
      kind: text,
      metadata: fields({ name: objectName }, ['name']),
      spec: fields({ tenant: objectName }, ['tenant']),
    },
    ['metadata', 'spec'],
  ),
};

/** A document and how to call it in a message. */
interface Item {
  readonly value: unknown;
  readonly origin: string;
}

/** A text, and what to call it in messages: a path, or `standard input`. */
export interface Source {
  readonly name: string;
  readonly content: string;
}

/**
 * @param namespace of policies that name none
 * @returns objects in the order of the file
 * @throws CliFailure (invalid) with every fault, if there is one
 */
export function parseManifest(sources: readonly Source[], namespace?: string): Read[] {
  const items = sources.flatMap((source) => {
    const found = readDocuments(source).flatMap(expandList);
    if (found.length === 0) throw invalidInput([`${source.name}: holds no object`]);
    return found;
  });
  const faults = [...items.flatMap((item) => checkItem(item, namespace)), ...findRepeated(items, namespace)];
  if (faults.length > 0) throw invalidInput(faults);
  return items.map(({ value }) => toWanted(value as Manifest, namespace));
}

/** Some seconds of work: more is a mistake, such as an alias of aliases. */
const BOUNDS = { documents: 100_000, nodes: 1_000_000, depth: 64 };

function readDocuments({ name: source, content }: Source): Item[] {
  const documents = parseDocuments(source, content);
  const origin = (index: number) => (documents.length === 1 ? source : `${source}, document ${index + 1}`);
  return documents.map((value, index) => ({ value, origin: origin(index) })).filter(({ value }) => value !== null);
}

function parseDocuments(source: string, content: string): unknown[] {
  try {
    return parseYamlDocuments(content, BOUNDS);
  } catch (error) {
    if (error instanceof YamlFault) throw invalidInput([`${source}: line ${error.line}: ${error.message}`]);
    throw error;
  }
}

function expandList({ value, origin }: Item): Item[] {
  // What `tenetctl get` prints is a list without a kind.
  const isList = isJson(value) && (value.kind === 'List' || (value.kind === undefined && Array.isArray(value.items)));
  if (!isList) return [{ value, origin }];
  if (!Array.isArray(value.items)) throw invalidInput([`${origin}: items: must be a list`]);
  return value.items.map((item: unknown, index) => ({ value: item, origin: `${origin}, items[${index}]` }));
}

function checkItem({ value, origin }: Item, namespace: string | undefined): string[] {
  const say = (faults: readonly string[]) => faults.map((fault) => `${origin}: ${fault}`);
  if (!isJson(value)) return say(['must be an object with apiVersion, kind, metadata and spec']);
  const { apiVersion, kind } = value;
  const version = kind === 'NetworkPolicy' ? POLICY_API_VERSION : API_VERSION;
  const wrongVersion = apiVersion === version ? [] : [`apiVersion: must be ${version}`];
  if (kind === 'NetworkPolicy') return say([...wrongVersion, ...checkPolicy(value, namespace)]);
  if (kind !== 'Tenant' && kind !== 'Namespace' && kind !== 'Peering')
    return say([...wrongVersion, 'kind: must be Tenant, Namespace, NetworkPolicy, Peering or List']);
  return say([...wrongVersion, ...CHECKS[kind](value, '')]);
}

/** Where it belongs; what it says is judged as a whole. */
function checkPolicy({ metadata: given }: Json, namespace: string | undefined): string[] {
  if (!isJson(given)) return [`metadata: ${given === undefined ? 'is missing' : 'must be a map'}`];
  const missing = given.name === undefined ? ['metadata.name: is missing'] : text(given.name, 'metadata.name');
  if (given.namespace === undefined)
    return namespace === undefined
      ? [...missing, 'metadata.namespace: is missing: write it, or give --namespace']
      : missing;
  if (namespace !== undefined && given.namespace !== namespace)
    return [...missing, `metadata.namespace: is not the one of --namespace, ${JSON.stringify(namespace)}`];
  return [...missing, ...objectName(given.namespace, 'metadata.namespace')];
}

/** An object wanted twice, in two ways, has no right answer. */
function findRepeated(items: readonly Item[], namespace: string | undefined): string[] {
  const seen = new Map<string, string>();
  return items.flatMap(({ value, origin }) => {
    if (!isJson(value) || !isJson(value.metadata)) return [];
    const key = `${String(value.kind)} ${ownerIn(value, value.metadata, namespace)}${String(value.metadata.name)}`;
    const before = seen.get(key);
    seen.set(key, before ?? origin);
    return before === undefined ? [] : [`${origin}: metadata.name: ${key} is in ${before} already`];
  });
}

/** A tenant and a namespace are known by their names alone, a peering by who asks as well, a policy by where it is. */
function ownerIn({ kind, spec }: Json, { namespace: own }: Json, namespace: string | undefined): string {
  if (kind === 'NetworkPolicy') return `${String(own ?? namespace)}/`;
  return kind === 'Peering' && isJson(spec) ? `${String(spec.tenant)} ` : '';
}

/** A document that passed its check. */
interface Manifest {
  readonly kind: Wanted['kind'];
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Json };
  readonly spec?: Json;
}

function toWanted(manifest: Manifest, namespace = ''): Read {
  const { kind, metadata, spec } = manifest;
  const { name, labels } = metadata;
  if (kind === 'NetworkPolicy')
    return { kind, name, namespace: metadata.namespace ?? namespace, body: { ...manifest } };
  return { ...spec, kind, name, ...(labels === undefined ? {} : { labels }) } as Read;
}
