/**
 * `tenetctl node status`: which nodes are alive, what they are for and how much they carry.
 */
import type { Command } from 'commander';
import type { Json } from '../connection.ts';
import { problemsOf } from '../kinds.ts';
import type { Format } from '../output.ts';
import { NODES, nodePath } from '../paths.ts';
import type { OpenSession, Session } from '../terminal.ts';
import { formatOption } from './options.ts';
import { objectsOf, show } from './show.ts';

/** Below the table, each node's. */
function showProblems(session: Session, format: Format = 'table', body: Json): void {
  if (format !== 'table' && format !== 'wide') return;
  const items = objectsOf(body).flatMap(problemsOf);
  if (items.length === 0) return;
  session.out('\n');
  show(session, format, 'problems', { items });
}

export function addNode(program: Command, open: OpenSession): void {
  const node = program.command('node').description('show the state of nodes');
  node
    .command('status')
    .description(
      'show liveness, roles, address, endpoints, last acknowledgement, version and problems of all nodes, or of one',
    )
    .argument('[node]')
    .addOption(formatOption())
    .action(async (name: string | undefined, options: { readonly output?: Format }, command: Command) => {
      const session = open(command);
      const body =
        name === undefined ? await session.connection.list(NODES) : await session.connection.getJson(nodePath(name));
      show(session, options.output, 'nodes', body);
      showProblems(session, options.output, body);
    });
}
