/**
 * `tenetctl apply`: makes tenants and namespaces what a manifest says, and says of each whether it was created, configured or
 * unchanged. Reads and judges everything before it writes anything; writes tenants before namespaces.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ClusterConfig } from '../../model/records.ts';
import { type Connection, isJson } from '../connection.ts';
import { checkContents } from '../contents.ts';
import { CliFailure, EXIT, invalidInput } from '../failures.ts';
import { parseManifest, type Wanted } from '../manifest.ts';
import { CLUSTER, tenantPath } from '../paths.ts';
import { type Plan, pathOf, planChange, referenceOf } from '../plan.ts';
import type { OpenSession } from '../program.ts';
import type { Terminal } from '../terminal.ts';

/** A plan and the ETag its object had when it was made. */
interface Pending {
  readonly plan: Plan;
  readonly etag: string | undefined;
}

export function addApply(program: Command, open: OpenSession): void {
  program
    .command('apply')
    .description('create or change tenants and namespaces as a file says (YAML or JSON, several documents)')
    .requiredOption('-f, --filename <file>', 'the file, or - for standard input')
    .addHelpText('after', EXAMPLE)
    .action(async ({ filename }: { readonly filename: string }, command: Command) => {
      const session = open(command);
      const wanted = parseManifest(
        await readManifest(filename, session),
        filename === '-' ? 'standard input' : filename,
      );
      const tenantsFirst = wanted.toSorted((a, b) => Number(a.kind === 'Namespace') - Number(b.kind === 'Namespace'));
      const cluster = await session.connection.getJson(CLUSTER);
      const faults = checkContents(tenantsFirst, cluster as unknown as ClusterConfig);
      if (faults.length > 0) throw invalidInput(faults);
      await checkOwners(session.connection, tenantsFirst);
      const pending: Pending[] = [];
      for (const object of tenantsFirst) pending.push(await prepare(session.connection, object));
      for (const each of pending) {
        await write(session.connection, each);
        session.out(`${each.plan.reference} ${each.plan.outcome}\n`);
      }
    });
}

async function readManifest(filename: string, terminal: Terminal): Promise<string> {
  if (filename === '-') return terminal.readInput();
  try {
    return readFileSync(filename, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalidInput([`${filename} cannot be read: ${code === 'ENOENT' ? 'it does not exist' : code}`]);
  }
}

/** A namespace's tenant has to be there, or be on its way. @throws CliFailure (not found) */
async function checkOwners(connection: Connection, wanted: readonly Wanted[]): Promise<void> {
  const coming = new Set(wanted.flatMap((object) => (object.kind === 'Tenant' ? [object.name] : [])));
  for (const object of wanted) {
    if (object.kind === 'Tenant' || coming.has(object.tenant)) continue;
    if ((await connection.find(tenantPath(object.tenant))) === undefined)
      throw new CliFailure(
        EXIT.notFound,
        `${referenceOf(object)}: tenant ${JSON.stringify(object.tenant)} does not exist`,
        'put it into the same file, or create it first',
      );
    coming.add(object.tenant);
  }
}

async function prepare(connection: Connection, wanted: Wanted): Promise<Pending> {
  const found = await connection.find(pathOf(wanted));
  return { plan: planChange(wanted, isJson(found?.body) ? found.body : undefined), etag: found?.etag };
}

/** A step of its own can raise the object's revision: only the first is held to the one that was read. */
async function write(connection: Connection, { plan, etag }: Pending): Promise<void> {
  for (const { method, path, body, guarded } of plan.steps) {
    try {
      await connection.request(method, path, { body, ifMatch: guarded ? etag : undefined });
    } catch (error) {
      if (!(error instanceof CliFailure)) throw error;
      throw new CliFailure(error.exitCode, error.message.replace(/^/gm, `${plan.reference}: `), error.hint, {
        cause: error,
      });
    }
  }
}

const EXAMPLE = `
Example:
  apiVersion: tenet.dev/v1
  kind: Tenant
  metadata: {name: blue, labels: {plan: gold}}
  spec: {namespaces: [blue], quota: {endpoints: 100}, egress: {internet: false}}
  ---
  apiVersion: tenet.dev/v1
  kind: Namespace
  metadata: {name: blue-test, labels: {stage: test}}
  spec: {tenant: blue}

What a document does not name stays as it is; namespaces and subnets are added, never taken away.`;
