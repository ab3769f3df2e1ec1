/**
 * What has to be written so that an object becomes what a manifest wants: nothing, a creation, or the steps that change it.
 * Compares wanted with found and decides; sends nothing. Pure.
 */
import { isJson, type Json } from './connection.ts';
import type { Wanted, WantedNamespace, WantedTenant } from './manifest.ts';
import { namespacePath, subnetsPath, TENANTS, tenantPath } from './paths.ts';

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
  return wanted.kind === 'Tenant' ? tenantPath(wanted.name) : namespacePath(wanted.tenant, wanted.name);
}

export function referenceOf(wanted: Wanted): string {
  return wanted.kind === 'Tenant' ? `tenant/${wanted.name}` : `namespace/${wanted.tenant}/${wanted.name}`;
}

/** @param found the object as REST gives it, undefined where there is none */
export function planChange(wanted: Wanted, found: Json | undefined): Plan {
  const reference = referenceOf(wanted);
  if (found === undefined) return { reference, outcome: 'created', steps: [creation(wanted)] };
  const steps = wanted.kind === 'Tenant' ? tenantChanges(wanted, found) : namespaceChanges(wanted, found);
  return { reference, outcome: steps.length === 0 ? 'unchanged' : 'configured', steps };
}

function creation(wanted: Wanted): Step {
  if (wanted.kind === 'Namespace') return namespaceWrite(wanted, wanted.labels ?? {}, false);
  const { kind: _, ...body } = wanted;
  return { method: 'POST', path: TENANTS, body, guarded: false };
}

/**
 * Fields that a patch replaces, then namespaces and subnets that are missing. A tenant keeps namespaces and subnets that the
 * manifest does not name: taking them away could cut off containers, so it has a command of its own.
 */
function tenantChanges(wanted: WantedTenant, found: Json): Step[] {
  const patch = {
    ...(wanted.labels === undefined || sameLabels(found.labels, wanted.labels) ? {} : { labels: wanted.labels }),
    ...changedFields(wanted, found),
  };
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

/** Settings with the wanted parts changed and all others as they are. */
function changedFields(wanted: WantedTenant, found: Json): Json {
  const changed: Record<string, Json> = {};
  for (const field of ['quota', 'egress', 'ingress'] as const) {
    const before = isJson(found[field]) ? found[field] : {};
    const after = { ...before, ...wanted[field] };
    if (Object.entries(after).some(([name, value]) => before[name] !== value)) changed[field] = after;
  }
  return changed;
}

function sameLabels(found: unknown, wanted: Json): boolean {
  const before = isJson(found) ? found : {};
  const names = Object.keys(wanted);
  return names.length === Object.keys(before).length && names.every((name) => before[name] === wanted[name]);
}

function namespaceChanges(wanted: WantedNamespace, found: Json): Step[] {
  if (wanted.labels === undefined || sameLabels(found.labels, wanted.labels)) return [];
  return [namespaceWrite(wanted, wanted.labels, true)];
}

function namespaceWrite({ tenant, name }: WantedNamespace, labels: Json, guarded: boolean): Step {
  return { method: 'PUT', path: namespacePath(tenant, name), body: { labels }, guarded };
}

/** Elements of `wanted` that `found` lacks. */
function missing(wanted: readonly string[] | undefined, found: unknown): string[] {
  const has = new Set(Array.isArray(found) ? found : []);
  return (wanted ?? []).filter((element) => !has.has(element));
}
