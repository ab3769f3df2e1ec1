/**
 * `tenetctl delete`: a tenant, a namespace, a dead node. Several names at once; the first failure ends it.
 */
import type { Command } from 'commander';
import { type Connection, isJson, type Json } from '../connection.ts';
import { namespacePath, nodePath, tenantPath } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { ownerOf } from '../queries.ts';

export function addDelete(program: Command, open: OpenSession): void {
  const remove = program.command('delete').description('delete a tenant, a namespace or a node');
  addTenant(remove, open);
  addNamespace(remove, open);
  addNode(remove, open);
}

const NAMES = ['<names...>', 'one or more'] as const;

function addTenant(remove: Command, open: OpenSession): void {
  remove
    .command('tenant')
    .description('delete a tenant that has no endpoint any more')
    .argument(...NAMES)
    .action(async (tenants: readonly string[], _, command: Command) => {
      const { connection, out } = open(command);
      for (const tenant of tenants) {
        const hint = `its containers have to end first: tenetctl get endpoints -t ${tenant}`;
        const rest = await deleteObject(connection, tenantPath(tenant), hint);
        out(isJson(rest) ? `tenant/${tenant} deleting${waitingFor(rest)}\n` : `tenant/${tenant} deleted\n`);
      }
    });
}

function addNamespace(remove: Command, open: OpenSession): void {
  remove
    .command('namespace')
    .description('delete a namespace that has no endpoint any more')
    .argument(...NAMES)
    .option('-t, --tenant <tenant>', 'the tenant that owns it (else it is looked for)')
    .action(async (namespaces: readonly string[], options: { readonly tenant?: string }, command: Command) => {
      const { connection, out } = open(command);
      for (const namespace of namespaces) {
        const tenant = options.tenant ?? (await ownerOf(connection, namespace));
        await deleteObject(connection, namespacePath(tenant, namespace));
        out(`namespace/${namespace} deleted\n`);
      }
    });
}

function addNode(remove: Command, open: OpenSession): void {
  remove
    .command('node')
    .description('forget a node that will not come back, with the addresses it held')
    .argument(...NAMES)
    .action(async (nodes: readonly string[], _, command: Command) => {
      const { connection, out } = open(command);
      for (const node of nodes) {
        await deleteObject(connection, nodePath(node), `stop its agent first: tenetctl node status ${node}`);
        out(`node/${node} deleted\n`);
      }
    });
}

/** @returns what the server says of a deletion that goes on, undefined of one that is done */
async function deleteObject(connection: Connection, path: string, conflictHint?: string): Promise<unknown> {
  const { body } = await connection.request(
    'DELETE',
    path,
    conflictHint === undefined ? {} : { hints: { 409: conflictHint } },
  );
  return body;
}

/** @param rest what the server says of a tenant whose nodes still hold addresses */
function waitingFor({ nodes }: Json): string {
  return Array.isArray(nodes) && nodes.length > 0 ? `, once ${nodes.join(', ')} gave its addresses back` : '';
}
