/**
 * `tenetctl apply`: makes tenants, namespaces, policies and peerings what a manifest says, and says of each whether it was created,
 * configured or unchanged. Reads and judges everything before it writes anything; what closes comes before what opens.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ClusterConfig } from '../../model/records.ts';
import { type Connection, isJson } from '../connection.ts';
import { checkContents } from '../contents.ts';
import { CliFailure, EXIT, invalidInput } from '../failures.ts';
import { parseManifest, type Read, type Source, type UnownedPolicy, type Wanted } from '../manifest.ts';
import { CLUSTER, tenantPath } from '../paths.ts';
import { type Plan, pathOf, planChange, referenceOf } from '../plan.ts';
import { ownerOf } from '../queries.ts';
import { formatFlips } from '../reachability.ts';
import type { OpenSession, Terminal } from '../terminal.ts';
import { isTooLate, Outcomes, waitRequest } from '../waiting.ts';
import { collect, waitOption } from './options.ts';

interface ApplyOptions {
  readonly filename: readonly string[];
  readonly namespace?: string;
  readonly tenant?: string;
  readonly wait?: string;
  readonly dryRun?: boolean;
}

type Waiting = ReturnType<typeof waitRequest>;

/** What has to be there before what. */
const ORDER: readonly Wanted['kind'][] = ['Tenant', 'Namespace', 'NetworkPolicy', 'Peering'];

/** A plan and the ETag its object had when it was made. */
interface Pending {
  readonly kind: Wanted['kind'];
  readonly plan: Plan;
  readonly etag: string | undefined;
}

export function addApply(program: Command, open: OpenSession): void {
  program
    .command('apply')
    .description('create or change tenants, namespaces, policies and peerings as YAML or JSON files say')
    .requiredOption('-f, --filename <file>', 'file, or - for standard input; repeatable', collect)
    .option('-n, --namespace <namespace>', 'namespace of policies that do not name one')
    .option('-t, --tenant <tenant>', 'tenant that owns the namespaces of policies (default: found by name)')
    .addOption(waitOption())
    .option('--dry-run', 'write nothing; show what would change, and what each policy by itself would open and close')
    .addHelpText('after', EXAMPLE)
    .action(async ({ filename, namespace, tenant, wait, dryRun }: ApplyOptions, command: Command) => {
      if (dryRun === true && wait !== undefined)
        throw invalidInput(['--wait cannot be given along with --dry-run: a dry run writes nothing']);
      const waiting = waitRequest(wait);
      const session = open(command);
      const read = parseManifest(await readManifests(filename, session), namespace);
      const wanted = await findOwners(session.connection, read, tenant);
      const inOrder = wanted.toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
      const cluster = await session.connection.getJson(CLUSTER);
      const faults = checkContents(inOrder, cluster as unknown as ClusterConfig);
      if (faults.length > 0) throw invalidInput(faults);
      await checkOwners(session.connection, inOrder);
      const pending: Pending[] = [];
      for (const object of inOrder) pending.push(await prepare(session.connection, object));
      if (dryRun === true) {
        for (const each of pending) session.out(await preview(session.connection, each));
        return;
      }
      const outcomes = new Outcomes();
      for (const each of pending) {
        const { reference, outcome } = each.plan;
        const answer = await write(session.connection, each, waiting);
        session.out(`${reference} ${outcome}\n${outcomes.note(reference, answer)}`);
      }
      outcomes.check();
    });
}

async function readManifests(filenames: readonly string[], terminal: Terminal): Promise<Source[]> {
  const sources: Source[] = [];
  for (const filename of filenames) {
    const name = filename === '-' ? 'standard input' : filename;
    sources.push({ name, content: await readManifest(filename, terminal) });
  }
  return sources;
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

/** Whose each policy's namespace is: the file itself may say so. @throws CliFailure (not found) */
async function findOwners(
  connection: Connection,
  read: readonly Read[],
  tenant: string | undefined,
): Promise<Wanted[]> {
  const owners = new Map<string, string>();
  for (const object of read) {
    if (object.kind === 'Namespace') owners.set(object.name, object.tenant);
    if (object.kind !== 'Tenant') continue;
    for (const namespace of [object.name, ...(object.namespaces ?? [])]) owners.set(namespace, object.name);
  }
  const own = async (policy: UnownedPolicy): Promise<Wanted> => {
    const owner = tenant ?? owners.get(policy.namespace) ?? (await ownerOf(connection, policy.namespace));
    owners.set(policy.namespace, owner);
    return { ...policy, tenant: owner };
  };
  const wanted: Wanted[] = [];
  for (const object of read) wanted.push(object.kind === 'NetworkPolicy' ? await own(object) : object);
  return wanted;
}

/** The tenant of a namespace or policy and both of a peering have to be there, or be on their way. @throws CliFailure (not found) */
async function checkOwners(connection: Connection, wanted: readonly Wanted[]): Promise<void> {
  const coming = new Set(wanted.flatMap((object) => (object.kind === 'Tenant' ? [object.name] : [])));
  for (const object of wanted) {
    for (const tenant of tenantsOf(object)) {
      if (coming.has(tenant)) continue;
      if ((await connection.find(tenantPath(tenant))) === undefined)
        throw new CliFailure(
          EXIT.notFound,
          `${referenceOf(object)}: tenant ${JSON.stringify(tenant)} does not exist`,
          'put it into the same file, or create it first',
        );
      coming.add(tenant);
    }
  }
}

/** Tenants that must exist before the object can. */
function tenantsOf(object: Wanted): string[] {
  if (object.kind === 'Tenant') return [];
  return object.kind === 'Peering' ? [object.tenant, object.name] : [object.tenant];
}

async function prepare(connection: Connection, wanted: Wanted): Promise<Pending> {
  const found = await connection.find(pathOf(wanted));
  return {
    kind: wanted.kind,
    plan: planChange(wanted, isJson(found?.body) ? found.body : undefined),
    etag: found?.etag,
  };
}

/** What the object would become, and what a policy would flip; of one in a namespace that is not there yet, that is not known. */
async function preview(connection: Connection, { kind, plan, etag }: Pending): Promise<string> {
  const { reference, outcome, steps } = plan;
  if (outcome === 'unchanged') return `${reference} unchanged\n`;
  const said = `${reference} would be ${outcome}\n`;
  if (kind !== 'NetworkPolicy') return said;
  let flips = '';
  for (const { method, path, body, guarded } of steps) {
    const ifMatch = guarded ? etag : undefined;
    try {
      const reply = await connection.request(method, path, { body, ifMatch, query: { dryRun: 'true' } });
      if (isJson(reply.body)) flips += formatFlips(reply.body);
    } catch (error) {
      if (!(error instanceof CliFailure && error.exitCode === EXIT.notFound)) throw error;
      flips += '  its namespace does not exist yet\n';
    }
  }
  return said + flips;
}

/**
 * A step of its own can raise the object's revision: only the first is held to the one that was read.
 * @returns with --wait, for which each step waits: the first answer that came too late, else the last; undefined without a step
 */
async function write(connection: Connection, { plan, etag }: Pending, waiting: Waiting): Promise<unknown> {
  let answer: unknown;
  for (const { method, path, body, guarded } of plan.steps) {
    try {
      const reply = await connection.request(method, path, { body, ifMatch: guarded ? etag : undefined, ...waiting });
      if (!isTooLate(answer)) answer = reply.body;
    } catch (error) {
      if (!(error instanceof CliFailure)) throw error;
      throw new CliFailure(error.exitCode, error.message.replace(/^/gm, `${plan.reference}: `), error.hint, {
        cause: error,
      });
    }
  }
  return answer;
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
  ---
  apiVersion: tenet.dev/v1
  kind: Peering
  metadata: {name: red}
  spec: {tenant: blue}
  ---
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: web, namespace: blue-test}
  spec:
    podSelector: {matchLabels: {app: web}}
    ingress: [{from: [{podSelector: {matchLabels: {app: shop}}}], ports: [{port: 8080}]}]

Fields that a Tenant, Namespace or Peering does not name stay as they are. Namespaces and subnets are added, never removed.`;
