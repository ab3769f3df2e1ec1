/**
 * `tenetctl get`: lists and single objects of every kind.
 */
import type { Command } from 'commander';
import type { Connection, Json } from '../connection.ts';
import { invalidInput } from '../failures.ts';
import { findKind, type KindName } from '../kinds.ts';
import type { Format } from '../output.ts';
import {
  CLUSTER,
  NODES,
  namespacePath,
  nodePath,
  PROBLEMS,
  peeringPath,
  policyPath,
  TENANTS,
  tenantPath,
  tenantProblemsPath,
} from '../paths.ts';
import { findEndpoints, listEndpoints, listNamespaces, listPeerings, listPolicies, ownerOf } from '../queries.ts';
import type { OpenSession } from '../terminal.ts';
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
    .description('show all objects of a kind, or one')
    .argument(
      '<kind>',
      'tenants, namespaces (ns), policies (netpol), peerings, nodes, endpoints (ep), problems or cluster; the singular works too',
    )
    .argument('[name]', 'name of one object; for an endpoint its id, name or container id, for a peering the peer')
    .option('-t, --tenant <tenant>', 'only objects of this tenant')
    .option('-n, --namespace <namespace>', 'only policies of this namespace')
    .addOption(formatOption())
    .action(async (word: string, name: string | undefined, options: GetOptions, command: Command) => {
      const kind = findKind(word);
      if (kind === undefined)
        throw invalidInput([
          `unknown kind ${JSON.stringify(word)}: use tenants, namespaces, policies, peerings, nodes, endpoints, problems or cluster`,
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
      if (namespace === undefined) throw invalidInput(['a policy belongs to a namespace: give the namespace with -n']);
      return connection.getJson(policyPath(tenant ?? (await ownerOf(connection, namespace)), namespace, name));
    case 'peerings':
      if (name === undefined) return listPeerings(connection, tenant);
      if (tenant === undefined) throw invalidInput(['a peering belongs to the tenant that asks: name it with -t']);
      return connection.getJson(peeringPath(tenant, name));
    case 'endpoints':
      return name === undefined ? listEndpoints(connection, tenant) : findEndpoints(connection, tenant, name);
    case 'problems':
      if (name !== undefined) throw invalidInput(['problems have no name: use -t for those of one tenant']);
      return connection.getJson(`${tenant === undefined ? PROBLEMS : tenantProblemsPath(tenant)}?limit=1000`);
    case 'cluster':
      return connection.getJson(CLUSTER);
  }
}
