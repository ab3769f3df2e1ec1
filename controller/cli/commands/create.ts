/**
 * `tenetctl create`: a tenant, a namespace in one, or what one asks of another. Never overwrites: what exists is a conflict.
 */
import type { Command } from 'commander';
import { isJson, type Json } from '../connection.ts';
import type { Format } from '../output.ts';
import { namespacePath, peeringPath, TENANTS } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { reportOutcome, waitRequest } from '../waiting.ts';
import { collect, collectLabel, formatOption, prefixLength, waitOption, wholeNumber } from './options.ts';
import { showWritten } from './show.ts';

type Labels = Readonly<Record<string, string>>;

interface TenantOptions {
  readonly namespace?: readonly string[];
  readonly subnet?: readonly string[];
  readonly prefixLength?: number;
  readonly label?: Labels;
  readonly internet: boolean;
  readonly quotaEndpoints?: number;
  readonly output?: Format;
  readonly wait?: string;
}

interface NamespaceOptions {
  readonly tenant: string;
  readonly label?: Labels;
  readonly output?: Format;
  readonly wait?: string;
}

interface PeeringOptions {
  readonly tenant: string;
  readonly output?: Format;
  readonly wait?: string;
}

const EXISTS = 'if it exists already, tenetctl apply changes it';

export function addCreate(program: Command, open: OpenSession): void {
  const create = program.command('create').description('create a tenant, a namespace or a peering');
  addTenant(create, open);
  addNamespace(create, open);
  addPeering(create, open);
}

function addTenant(create: Command, open: OpenSession): void {
  create
    .command('tenant')
    .description('create a tenant: a network of its own, closed to all others')
    .argument('<name>')
    .option('-n, --namespace <name>', 'a namespace it owns, may be repeated (else one of its own name)', collect)
    .option('--subnet <cidr>', 'a subnet out of the pool, may be repeated (else the controller chooses)', collect)
    .option('--prefix-length <length>', 'size of the subnet the controller chooses, such as 22', prefixLength)
    .option('-l, --label <key=value>', 'a label, may be repeated', collectLabel)
    .option('--no-internet', 'its containers may not reach beyond the cluster')
    .option('--quota-endpoints <count>', 'at most this many endpoints', wholeNumber)
    .addOption(waitOption())
    .addOption(formatOption())
    .action(async (name: string, options: TenantOptions, command: Command) => {
      const session = open(command);
      const { body } = await session.connection.request('POST', TENANTS, {
        body: tenantRequest(name, options),
        ...waitRequest(options.wait),
      });
      showWritten(session, options.output, 'tenants', body, `tenant/${name} created`);
      reportOutcome(session, `tenant/${name}`, body, options.output !== undefined);
    });
}

function addNamespace(create: Command, open: OpenSession): void {
  create
    .command('namespace')
    .description('create a namespace in a tenant')
    .argument('<name>')
    .requiredOption('-t, --tenant <tenant>', 'the tenant that owns it')
    .option('-l, --label <key=value>', 'a label, may be repeated', collectLabel)
    .addOption(waitOption())
    .addOption(formatOption())
    .action(async (name: string, options: NamespaceOptions, command: Command) => {
      const session = open(command);
      const path = namespacePath(options.tenant, name);
      const { body } = await session.connection.request('PUT', path, {
        body: { labels: options.label ?? {} },
        ifNoneMatch: '*',
        hints: { 409: EXISTS, 412: EXISTS },
        ...waitRequest(options.wait),
      });
      showWritten(session, options.output, 'namespaces', body, `namespace/${name} created`);
      reportOutcome(session, `namespace/${name}`, body, options.output !== undefined);
    });
}

function addPeering(create: Command, open: OpenSession): void {
  create
    .command('peering')
    .description('ask that the containers of two tenants may talk; in force once the other one asks as well')
    .argument('<peer>', 'the other tenant')
    .requiredOption('-t, --tenant <tenant>', 'the tenant that asks')
    .addOption(waitOption())
    .addOption(formatOption())
    .action(async (peer: string, { tenant, output, wait }: PeeringOptions, command: Command) => {
      const session = open(command);
      const request = { ifNoneMatch: '*', hints: { 412: 'it has been asked already' }, ...waitRequest(wait) } as const;
      const { body } = await session.connection.request('PUT', peeringPath(tenant, peer), request);
      const reference = `peering/${tenant}/${peer}`;
      const inForce = isJson(body) && body.inForce === true;
      showWritten(session, output, 'peerings', body, `${reference} created${inForce ? '' : NOT_YET(tenant, peer)}`);
      reportOutcome(session, reference, body, output !== undefined);
    });
}

const NOT_YET = (tenant: string, peer: string) =>
  `, in force once ${peer} asks too: create peering ${tenant} -t ${peer}`;

/** Only what was asked for: the controller's defaults are its own. */
function tenantRequest(name: string, options: TenantOptions): Json {
  return {
    name,
    ...(options.namespace === undefined ? {} : { namespaces: options.namespace }),
    ...(options.subnet === undefined ? {} : { subnets: options.subnet }),
    ...(options.prefixLength === undefined ? {} : { subnetPrefixLength: options.prefixLength }),
    ...(options.label === undefined ? {} : { labels: options.label }),
    ...(options.quotaEndpoints === undefined ? {} : { quota: { endpoints: options.quotaEndpoints } }),
    ...(options.internet ? {} : { egress: { internet: false } }),
  };
}
