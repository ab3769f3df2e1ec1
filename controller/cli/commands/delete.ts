/**
 * `tenetctl delete`: a tenant, a namespace, a dead node. Several names at once; the first failure ends it.
 */
import type { Command } from 'commander';
import type { Connection } from '../connection.ts';
import { namespacePath, nodePath, tenantPath } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { ownerOf } from '../queries.ts';

export function addDelete(program: Command, open: OpenSession): void {
  const remove = program.command('delete').description('delete a tenant, a namespace or a node');
  const names = ['<names...>', 'one or more'] as const;
  remove
    .command('tenant')
    .description('delete a tenant that has no endpoint any more')
    .argument(...names)
    .action(async (tenants: readonly string[], _, command: Command) => {
      const { connection, out } = open(command);
      for (const tenant of tenants) {
        await deleteObject(
          connection,
          tenantPath(tenant),
          `its containers have to end first: tenetctl get endpoints -t ${tenant}`,
        );
        out(`tenant/${tenant} deleted\n`);
      }
    });
  remove
    .command('namespace')
    .description('delete a namespace that has no endpoint any more')
    .argument(...names)
    .option('-t, --tenant <tenant>', 'the tenant that owns it (else it is looked for)')
    .action(async (namespaces: readonly string[], options: { readonly tenant?: string }, command: Command) => {
      const { connection, out } = open(command);
      for (const namespace of namespaces) {
        const tenant = options.tenant ?? (await ownerOf(connection, namespace));
        const hint = `its containers have to end first: tenetctl get endpoints -t ${tenant}`;
        await deleteObject(connection, namespacePath(tenant, namespace), hint);
        out(`namespace/${namespace} deleted\n`);
      }
    });
  remove
    .command('node')
    .description('forget a node that will not come back, with the addresses it held')
    .argument(...names)
    .action(async (nodes: readonly string[], _, command: Command) => {
      const { connection, out } = open(command);
      for (const node of nodes) {
        await deleteObject(connection, nodePath(node), `stop its agent first: tenetctl node status ${node}`);
        out(`node/${node} deleted\n`);
      }
    });
}

async function deleteObject(connection: Connection, path: string, conflictHint: string): Promise<void> {
  await connection.request('DELETE', path, { hints: { 409: conflictHint } });
}
