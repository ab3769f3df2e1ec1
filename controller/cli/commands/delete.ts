/**
 * `tenetctl delete`: a tenant, a namespace, a policy, a peering, a dead node. Several names at once; the first failure ends it.
 */
import type { Command } from 'commander';
import { type Connection, isJson, type Json } from '../connection.ts';
import { namespacePath, nodePath, peeringPath, policyPath, tenantPath } from '../paths.ts';
import { ownerOf } from '../queries.ts';
import type { OpenSession } from '../terminal.ts';
import { Outcomes, waitRequest } from '../waiting.ts';
import { waitOption } from './options.ts';

export function addDelete(program: Command, open: OpenSession): void {
  const remove = program.command('delete').description('delete a tenant, a namespace, a policy, a peering or a node');
  addTenant(remove, open);
  addNamespace(remove, open);
  addPolicy(remove, open);
  addPeering(remove, open);
  addNode(remove, open);
}

interface WaitOptions {
  readonly wait?: string;
}

interface NamespaceOptions extends WaitOptions {
  readonly tenant?: string;
}

interface PolicyOptions extends NamespaceOptions {
  readonly namespace: string;
}

interface PeeringOptions extends WaitOptions {
  readonly tenant: string;
}

const NAMES = ['<names...>', 'one or more'] as const;

function addTenant(remove: Command, open: OpenSession): void {
  remove
    .command('tenant')
    .description('delete a tenant; it must have no endpoints')
    .argument(...NAMES)
    .addOption(waitOption())
    .action(async (tenants: readonly string[], { wait }: WaitOptions, command: Command) => {
      const { connection, out } = open(command);
      const outcomes = new Outcomes();
      for (const tenant of tenants) {
        const hint = `stop its containers first: tenetctl get endpoints -t ${tenant}`;
        const rest = await deleteObject(connection, tenantPath(tenant), { hint, wait });
        const goesOn = isJson(rest) && rest.phase === 'deleting';
        out(goesOn ? `tenant/${tenant} deleting${waitingFor(rest)}\n` : `tenant/${tenant} deleted\n`);
        out(outcomes.note(`tenant/${tenant}`, rest));
      }
      outcomes.check();
    });
}

function addNamespace(remove: Command, open: OpenSession): void {
  remove
    .command('namespace')
    .description('delete a namespace and its policies; it must have no endpoints')
    .argument(...NAMES)
    .option('-t, --tenant <tenant>', 'tenant that owns it (default: found by name)')
    .addOption(waitOption())
    .action(async (namespaces: readonly string[], options: NamespaceOptions, command: Command) => {
      const { connection, out } = open(command);
      const outcomes = new Outcomes();
      for (const namespace of namespaces) {
        const tenant = options.tenant ?? (await ownerOf(connection, namespace));
        const rest = await deleteObject(connection, namespacePath(tenant, namespace), { wait: options.wait });
        out(`namespace/${namespace} deleted\n${outcomes.note(`namespace/${namespace}`, rest)}`);
      }
      outcomes.check();
    });
}

function addPolicy(remove: Command, open: OpenSession): void {
  remove
    .command('policy')
    .aliases(['policies', 'networkpolicy', 'networkpolicies', 'netpol'])
    .description('delete a policy; traffic that only this policy restricted is allowed again')
    .argument(...NAMES)
    .requiredOption('-n, --namespace <namespace>', 'namespace of the policy')
    .option('-t, --tenant <tenant>', 'tenant that owns the namespace (default: found by name)')
    .addOption(waitOption())
    .action(async (names: readonly string[], options: PolicyOptions, command: Command) => {
      const { connection, out } = open(command);
      const { namespace, wait } = options;
      const tenant = options.tenant ?? (await ownerOf(connection, namespace));
      const outcomes = new Outcomes();
      for (const name of names) {
        const reference = `policy/${tenant}/${namespace}/${name}`;
        const rest = await deleteObject(connection, policyPath(tenant, namespace, name), { wait });
        out(`${reference} deleted\n${outcomes.note(reference, rest)}`);
      }
      outcomes.check();
    });
}

function addPeering(remove: Command, open: OpenSession): void {
  remove
    .command('peering')
    .description('end a peering: the containers of the two tenants may no longer talk')
    .argument('<peers...>', 'one or more other tenants')
    .requiredOption('-t, --tenant <tenant>', 'tenant that no longer asks for the peering')
    .addOption(waitOption())
    .action(async (peers: readonly string[], { tenant, wait }: PeeringOptions, command: Command) => {
      const { connection, out } = open(command);
      const outcomes = new Outcomes();
      for (const peer of peers) {
        const reference = `peering/${tenant}/${peer}`;
        const rest = await deleteObject(connection, peeringPath(tenant, peer), { wait });
        out(`${reference} deleted\n${outcomes.note(reference, rest)}`);
      }
      outcomes.check();
    });
}

function addNode(remove: Command, open: OpenSession): void {
  remove
    .command('node')
    .description('delete a dead node with its endpoints, and free its addresses')
    .argument(...NAMES)
    .action(async (nodes: readonly string[], _, command: Command) => {
      const { connection, out } = open(command);
      for (const node of nodes) {
        await deleteObject(connection, nodePath(node), { hint: `stop its agent first: tenetctl node status ${node}` });
        out(`node/${node} deleted\n`);
      }
    });
}

/** @returns what the server says of a deletion that goes on, or was waited for; undefined of one that is done */
async function deleteObject(
  connection: Connection,
  path: string,
  { hint, wait }: { readonly hint?: string; readonly wait?: string | undefined },
): Promise<unknown> {
  const hints = hint === undefined ? {} : { hints: { 409: hint } };
  const { body } = await connection.request('DELETE', path, { ...hints, ...waitRequest(wait) });
  return body;
}

/** @param rest what the server says of a tenant whose nodes still hold addresses */
function waitingFor({ nodes }: Json): string {
  return Array.isArray(nodes) && nodes.length > 0 ? `, waiting for ${nodes.join(', ')} to return its addresses` : '';
}
