/**
 * `tenetctl tenant`: what can be done to a tenant besides creating and deleting it.
 */
import type { Command } from 'commander';
import { isJson } from '../connection.ts';
import { invalidInput } from '../failures.ts';
import { subnetsPath } from '../paths.ts';
import type { OpenSession } from '../terminal.ts';
import { reportOutcome, waitRequest } from '../waiting.ts';
import { prefixLength, waitOption } from './options.ts';

interface GrowOptions {
  readonly prefixLength?: number;
  readonly cidr?: string;
  readonly wait?: string;
}

export function addTenant(program: Command, open: OpenSession): void {
  const tenant = program.command('tenant').description('change a tenant');
  tenant
    .command('grow')
    .description('give a tenant another subnet; its traffic continues meanwhile')
    .argument('<name>')
    .option('--prefix-length <length>', 'length of the subnet that the controller allocates, such as 22', prefixLength)
    .option('--cidr <cidr>', 'this subnet of the pool')
    .addOption(waitOption())
    .action(async (name: string, options: GrowOptions, command: Command) => {
      if ((options.prefixLength === undefined) === (options.cidr === undefined))
        throw invalidInput(['tenant grow takes either --prefix-length or --cidr']);
      const session = open(command);
      const { connection, out } = session;
      const request = options.cidr === undefined ? { prefixLength: options.prefixLength } : { cidr: options.cidr };
      const { body } = await connection.request('POST', subnetsPath(name), {
        body: request,
        ...waitRequest(options.wait),
      });
      const subnets = isJson(body) && Array.isArray(body.subnets) ? `: subnets ${body.subnets.join(', ')}` : '';
      out(`tenant/${name} grown${subnets}\n`);
      reportOutcome(session, `tenant/${name}`, body, false);
    });
}
