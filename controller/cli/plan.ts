/**
 * What has to be written so that an object becomes what a manifest wants: nothing, a creation, or the steps that change it.
 * Compares wanted with found and decides; sends nothing. Pure.
 */
import { InvalidInput } from '../errors.ts';
import { NAME_LABEL } from '../model/namespace.ts';
import { parsePolicy } from '../model/policy.ts';
import { isJson, type Json } from './connection.ts';
import type { Wanted, WantedNamespace, WantedPolicy, WantedTenant } from './manifest.ts';
import { namespacePath, peeringPath, policyPath, subnetsPath, TENANTS, tenantPath } from './paths.ts';

/** One write. `guarded`: only if the object is still what was read. */
export interface Step {
  readonly method: 'POST' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly body: Json;
  readonly guarded: boolean;
}

export interface Plan {
  /** such as `tenant/blue` */
  readonly reference: string;
  readonly outcome: 'created' | 'configured' | 'unchanged';
  readonly steps: readonly Step[];
}

/** Where the object is, if it is. */
export function pathOf(wanted: Wanted): string {
  switch (wanted.kind) {
    case 'Tenant':
      return tenantPath(wanted.name);
    case 'Namespace':
      return namespacePath(wanted.tenant, wanted.name);
    case 'NetworkPolicy':
      return policyPath(wanted.tenant, wanted.namespace, wanted.name);
    case 'Peering':
      return peeringPath(wanted.tenant, wanted.name);
  }
}

export function referenceOf(wanted: Wanted): string {
  if (wanted.kind === 'NetworkPolicy') return `policy/${wanted.tenant}/${wanted.namespace}/${wanted.name}`;
  return wanted.kind === 'Tenant'
    ? `tenant/${wanted.name}`
    : `${wanted.kind.toLowerCase()}/${wanted.tenant}/${wanted.name}`;
}

/** @param found the object as REST gives it, undefined where there is none */
export function planChange(wanted: Wanted, found: Json | undefined): Plan {
  const reference = referenceOf(wanted);
  if (found === undefined) return { reference, outcome: 'created', steps: [creation(wanted)] };
  const steps = changes(wanted, found);
  return { reference, outcome: steps.length === 0 ? 'unchanged' : 'configured', steps };
}

function changes(wanted: Wanted, found: Json): Step[] {
  if (wanted.kind === 'Peering') return [];
  if (wanted.kind === 'NetworkPolicy') return policyChanges(wanted, found);
  return wanted.kind === 'Tenant' ? tenantChanges(wanted, found) : namespaceChanges(wanted, found);
}

function creation(wanted: Wanted): Step {
  if (wanted.kind === 'Peering') return { method: 'PUT', path: pathOf(wanted), body: {}, guarded: false };
  if (wanted.kind === 'Namespace') return namespaceWrite(wanted, wanted.labels ?? {}, false);
  if (wanted.kind === 'NetworkPolicy') return policyWrite(wanted, false);
  const { kind: _, ...body } = wanted;
  return { method: 'POST', path: TENANTS, body, guarded: false };
}

/**
 * Fields that a patch replaces, then namespaces and subnets that are missing. A tenant keeps namespaces and subnets that the
 * manifest does not name: taking them away could cut off containers, so it has a command of its own.
 */
function tenantChanges(wanted: WantedTenant, found: Json): Step[] {
  const patch = tenantPatch(wanted, found);
  const path = tenantPath(wanted.name);
  const patches: Step[] =
    Object.keys(patch).length === 0 ? [] : [{ method: 'PATCH', path, body: patch, guarded: true }];
  const namespaces = missing(wanted.namespaces, found.namespaces).map(
    (namespace): Step => ({ method: 'PUT', path: namespacePath(wanted.name, namespace), body: {}, guarded: false }),
  );
  const subnets = missing(wanted.subnets, found.subnets).map(
    (cidr): Step => ({ method: 'POST', path: subnetsPath(wanted.name), body: { cidr }, guarded: false }),
  );
  return [...patches, ...namespaces, ...subnets];
}

/**
 * Labels are wanted as a whole, so those that are not wanted go; settings part by part.
 * @see RFC 7396 (JSON merge patch): null takes a field away
 */
function tenantPatch(wanted: WantedTenant, found: Json): Json {
  const patch: Record<string, Json> = {};
  const labels = labelsPatch(wanted.labels, found.labels);
  if (labels !== undefined) patch.labels = labels;
  for (const field of ['quota', 'egress', 'ingress'] as const) {
    const before = isJson(found[field]) ? found[field] : {};
    const changed = Object.entries(wanted[field] ?? {}).filter(([name, value]) => before[name] !== value);
    if (changed.length > 0) patch[field] = Object.fromEntries(changed);
  }
  return patch;
}

/** @returns undefined where they are as wanted, or none are */
function labelsPatch(wanted: Json | undefined, found: unknown): Json | undefined {
  if (wanted === undefined) return undefined;
  const before = isJson(found) ? found : {};
  const unwanted = Object.keys(before).filter((name) => name !== NAME_LABEL && !Object.hasOwn(wanted, name));
  const changed = Object.entries(wanted).filter(([name, value]) => before[name] !== value);
  if (unwanted.length + changed.length === 0) return undefined;
  return Object.fromEntries([...unwanted.map((name) => [name, null]), ...changed]);
}

function namespaceChanges(wanted: WantedNamespace, found: Json): Step[] {
  if (wanted.labels === undefined || labelsPatch(wanted.labels, found.labels) === undefined) return [];
  return [namespaceWrite(wanted, wanted.labels, true)];
}

function namespaceWrite({ tenant, name }: WantedNamespace, labels: Json, guarded: boolean): Step {
  return { method: 'PUT', path: namespacePath(tenant, name), body: { labels }, guarded };
}

/** A policy is written whole: it says all that is wanted. */
function policyChanges(wanted: WantedPolicy, found: Json): Step[] {
  const own = contentsOf(wanted, wanted.body);
  return own !== undefined && own === contentsOf(wanted, found) ? [] : [policyWrite(wanted, true)];
}

/** What it says, defaults and all, as text to compare; undefined where it says what this tenetctl does not know. */
function contentsOf({ tenant, namespace, name }: WantedPolicy, body: Json): string | undefined {
  try {
    return JSON.stringify(parsePolicy(tenant, namespace, name, body));
  } catch (error) {
    if (error instanceof InvalidInput) return undefined;
    throw error;
  }
}

function policyWrite(wanted: WantedPolicy, guarded: boolean): Step {
  return { method: 'PUT', path: pathOf(wanted), body: wanted.body, guarded };
}

/** Elements of `wanted` that `found` lacks. */
function missing(wanted: readonly string[] | undefined, found: unknown): string[] {
  const has = new Set(Array.isArray(found) ? found : []);
  return (wanted ?? []).filter((element) => !has.has(element));
}
