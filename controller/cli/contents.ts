/**
 * Judges what wanted objects say by the controller's own rules, before anything is sent: names, labels, subnets against the
 * cluster's pools. Who holds what only the store knows, so that is left to the server. Pure.
 */
import { InvalidInput } from '../errors.ts';
import { parseNamespace } from '../model/namespace.ts';
import { parsePeering } from '../model/peering.ts';
import { parsePolicy } from '../model/policy.ts';
import type { ClusterConfig } from '../model/records.ts';
import { parseTenant } from '../model/tenant.ts';
import type { Wanted } from './manifest.ts';
import { referenceOf } from './plan.ts';

/** @returns every fault, such as `tenant/blue: spec.subnets[0]: 10.0.0.0/8 is outside the pools` */
export function checkContents(wanted: readonly Wanted[], cluster: ClusterConfig): string[] {
  return wanted.flatMap((object) =>
    faultsOf(object, cluster).map(({ field, message }) => {
      // A policy's faults have their whole path.
      if (object.kind === 'NetworkPolicy') return `${referenceOf(object)}: ${field}: ${message}`;
      const part = /^(name|labels)\b/.test(field) ? 'metadata' : 'spec';
      const path = field === 'peer' ? 'metadata.name' : `${part}.${field}`;
      return `${referenceOf(object)}: ${path}: ${message}`;
    }),
  );
}

function faultsOf(wanted: Wanted, cluster: ClusterConfig): InvalidInput['errors'] {
  try {
    if (wanted.kind === 'Tenant') parseTenant(wanted, cluster);
    else if (wanted.kind === 'NetworkPolicy') parsePolicy(wanted.tenant, wanted.namespace, wanted.name, wanted.body);
    else if (wanted.kind === 'Peering') parsePeering(wanted.tenant, wanted.name);
    else parseNamespace(wanted.tenant, wanted.name, wanted.labels);
    return [];
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors;
    throw error;
  }
}
