/**
 * `tenetctl node status`: which nodes are alive, what they are for and how much they carry.
 */
import type { Command } from 'commander';
import type { Format } from '../output.ts';
import { NODES, nodePath } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { formatOption } from './options.ts';
import { show } from './show.ts';

export function addNode(program: Command, open: OpenSession): void {
  const node = program.command('node').description('show the state of nodes');
  node
    .command('status')
    .description('show liveness, roles, address, endpoints, last acknowledgement and version of all nodes, or of one')
    .argument('[node]')
    .addOption(formatOption())
    .action(async (name: string | undefined, options: { readonly output?: Format }, command: Command) => {
      const session = open(command);
      const body =
        name === undefined ? await session.connection.list(NODES) : await session.connection.getJson(nodePath(name));
      show(session, options.output, 'nodes', body);
    });
}
