/**
 * `tenetctl get`: lists and single objects of every kind.
 */
import type { Command } from 'commander';
import type { Connection, Json } from '../connection.ts';
import { invalidInput } from '../failures.ts';
import { findKind, type KindName } from '../kinds.ts';
import type { Format } from '../output.ts';
import { CLUSTER, NODES, namespacePath, nodePath, peeringPath, policyPath, TENANTS, tenantPath } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { findEndpoints, listEndpoints, listNamespaces, listPeerings, listPolicies, ownerOf } from '../queries.ts';
import { formatOption } from './options.ts';
import { show } from './show.ts';

interface GetOptions {
  readonly tenant?: string;
  readonly namespace?: string;
  readonly output?: Format;
}

export function addGet(program: Command, open: OpenSession): void {
  program
    .command('get')
    .description('show tenants, namespaces, policies, peerings, nodes, endpoints or the cluster; all of them or one')
    .argument(
      '<kind>',
      'tenants, namespaces, policies, peerings, nodes, endpoints, cluster (or one of them; ns, netpol, ep for short)',
    )
    .argument('[name]', 'only this one; an endpoint by its id, name or container id, a peering by its peer')
    .option('-t, --tenant <tenant>', 'only what belongs to this tenant')
    .option('-n, --namespace <namespace>', 'only policies of this namespace')
    .addOption(formatOption())
    .action(async (word: string, name: string | undefined, options: GetOptions, command: Command) => {
      const kind = findKind(word);
      if (kind === undefined)
        throw invalidInput([
          `${JSON.stringify(word)} is no kind of object: tenants, namespaces, policies, peerings, nodes, endpoints, cluster are`,
        ]);
      if (options.namespace !== undefined && kind !== 'policies') throw invalidInput(['--namespace is for policies']);
      const session = open(command);
      const body = await read(session.connection, kind, name, options);
      show(session, options.output, kind, body);
    });
}

async function read(
  connection: Connection,
  kind: KindName,
  name: string | undefined,
  { tenant, namespace }: GetOptions,
): Promise<Json> {
  switch (kind) {
    case 'tenants':
      return name === undefined ? connection.list(TENANTS) : connection.getJson(tenantPath(name));
    case 'nodes':
      return name === undefined ? connection.list(NODES) : connection.getJson(nodePath(name));
    case 'namespaces':
      if (name === undefined) return listNamespaces(connection, tenant);
      return connection.getJson(namespacePath(tenant ?? (await ownerOf(connection, name)), name));
    case 'policies':
      if (name === undefined) return listPolicies(connection, tenant, namespace);
      if (namespace === undefined) throw invalidInput(['a policy is one of a namespace: name it with -n']);
      return connection.getJson(policyPath(tenant ?? (await ownerOf(connection, namespace)), namespace, name));
    case 'peerings':
      if (name === undefined) return listPeerings(connection, tenant);
      if (tenant === undefined) throw invalidInput(['a peering is one of two tenants: name the one that asks with -t']);
      return connection.getJson(peeringPath(tenant, name));
    case 'endpoints':
      return name === undefined ? listEndpoints(connection, tenant) : findEndpoints(connection, tenant, name);
    case 'cluster':
      return connection.getJson(CLUSTER);
  }
}
