/**
 * `tenetctl create`: a tenant, a namespace in one, or what one asks of another. Never overwrites: what exists is a conflict.
 */
import type { Command } from 'commander';
import { isJson, type Json } from '../connection.ts';
import type { Format } from '../output.ts';
import { namespacePath, peeringPath, TENANTS } from '../paths.ts';
import type { OpenSession } from '../terminal.ts';
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

const EXISTS = 'to change an object that exists, use tenetctl apply';

export function addCreate(program: Command, open: OpenSession): void {
  const create = program.command('create').description('create a tenant, a namespace or a peering');
  addTenant(create, open);
  addNamespace(create, open);
  addPeering(create, open);
}

function addTenant(create: Command, open: OpenSession): void {
  create
    .command('tenant')
    .description('create a tenant, with a network that is closed to all other tenants')
    .argument('<name>')
    .option('-n, --namespace <name>', 'a namespace that it owns, besides the one with its name; repeatable', collect)
    .option('--subnet <cidr>', 'a subnet of the pool; repeatable (default: the controller allocates one)', collect)
    .option('--prefix-length <length>', 'length of the subnet that the controller allocates, such as 22', prefixLength)
    .option('-l, --label <key=value>', 'a label; repeatable', collectLabel)
    .option('--no-internet', 'do not let its containers reach beyond the cluster')
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
    .requiredOption('-t, --tenant <tenant>', 'tenant that owns the namespace')
    .option('-l, --label <key=value>', 'a label; repeatable', collectLabel)
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
    .description('let the containers of two tenants talk; in force once both tenants ask for it')
    .argument('<peer>', 'the other tenant')
    .requiredOption('-t, --tenant <tenant>', 'tenant that asks')
    .addOption(waitOption())
    .addOption(formatOption())
    .action(async (peer: string, { tenant, output, wait }: PeeringOptions, command: Command) => {
      const session = open(command);
      const request = {
        ifNoneMatch: '*',
        hints: { 412: `see tenetctl get peerings -t ${tenant}` },
        ...waitRequest(wait),
      } as const;
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
