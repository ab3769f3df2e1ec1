/**
 * `tenetctl node status`: which nodes are alive, what they are for and how much they carry.
 */
import type { Command } from 'commander';
import { isJson, type Json } from '../connection.ts';
import { viewOf } from '../kinds.ts';
import { type Format, formatObjects } from '../output.ts';
import { NODES, nodePath } from '../paths.ts';
import type { OpenSession } from '../program.ts';
import { listEndpoints } from '../queries.ts';
import { formatOption } from './options.ts';

export function addNode(program: Command, open: OpenSession): void {
  const node = program.command('node').description('look after nodes');
  node
    .command('status')
    .description('liveness, roles, version, underlay address and endpoints of every node, or of one')
    .argument('[node]')
    .addOption(formatOption())
    .action(async (name: string | undefined, options: { readonly output?: Format }, command: Command) => {
      const { connection, out, nowMs } = open(command);
      const found =
        name === undefined ? (await connection.list(NODES)).items : [await connection.getJson(nodePath(name))];
      const counts = countByNode((await listEndpoints(connection)).items);
      const nodes = found.map((object) => ({ ...object, endpoints: counts.get(String(object.name)) ?? 0 }));
      const body = name === undefined ? { items: nodes } : nodes[0];
      out(formatObjects(options.output ?? 'table', body, nodes.filter(isJson), viewOf('nodes'), nowMs()));
    });
}

function countByNode(endpoints: readonly Json[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { node } of endpoints) counts.set(String(node), (counts.get(String(node)) ?? 0) + 1);
  return counts;
}
