/**
 * `tenetctl explain`: may one end call another, and which rule or default says so. The controller answers; this puts it into words.
 */
import { type Command, Option } from 'commander';
import { type Connection, isJson, type Json } from '../connection.ts';
import { CliFailure, EXIT, invalidInput } from '../failures.ts';
import { formatObjects } from '../output.ts';
import { REACHABILITY } from '../paths.ts';
import { ownerOf } from '../queries.ts';
import { formatAnyEnd, formatPorts } from '../reachability.ts';
import type { OpenSession } from '../terminal.ts';
import { wholeNumber } from './options.ts';

interface ExplainOptions {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol: string;
  readonly output?: 'json' | 'yaml';
  readonly quiet?: boolean;
}

const END = 'TENANT/NAMESPACE/NAME, NAMESPACE/NAME, or an address; an id can stand for NAME';

export function addExplain(program: Command, open: OpenSession): void {
  program
    .command('explain')
    .description('tell whether one end may call another, and which rule or default decides at each end')
    .requiredOption('--from <end>', `the caller: ${END}`)
    .requiredOption('--to <end>', 'the end that is called, in the same form')
    .option('--port <port>', 'destination port; not with ICMP', wholeNumber)
    .addOption(
      new Option('--protocol <protocol>', 'TCP, UDP, SCTP or ICMP')
        .default('TCP')
        .argParser((text) => text.toUpperCase()),
    )
    .addOption(new Option('-o, --output <format>', 'print what REST returns').choices(['json', 'yaml']))
    .option('-q, --quiet', 'print nothing; exit with 1 if the call is denied')
    .addHelpText('after', EXAMPLE)
    .action(async ({ from, to, port, protocol, output, quiet }: ExplainOptions, command: Command) => {
      const session = open(command);
      const { connection, out } = session;
      const ends = { from: await parseEnd(connection, from, 'from'), to: await parseEnd(connection, to, 'to') };
      const question = { ...ends, protocol, ...(port === undefined ? {} : { port }) };
      const { body } = await connection.request('POST', REACHABILITY, { body: question });
      if (!isJson(body)) throw new CliFailure(EXIT.failure, 'the server did not answer the question');
      const denial = entriesOf(body).find(({ decision }) => decision === 'denied');
      if (quiet === true) {
        if (body.allowed !== true) throw new CliFailure(EXIT.failure, `denied: ${String(denial?.reason)}`);
      } else if (output === undefined) out(formatVerdict(body));
      else out(formatObjects(output, body, [], { columns: [], reference: () => '' }, session.nowMs()));
    });
}

/** @param option that it was given with @throws CliFailure (invalid, not found) */
async function parseEnd(connection: Connection, text: string, option: string): Promise<Json> {
  const parts = text.split('/');
  const [first = '', second = '', third = ''] = parts;
  if (parts.includes('') || parts.length > 3)
    throw invalidInput([`${option}: ${JSON.stringify(text)} is neither an address nor ${END}`]);
  if (parts.length === 3) return { tenant: first, namespace: second, name: third };
  if (parts.length === 2) return { tenant: await ownerOf(connection, first), namespace: first, name: second };
  if (!/^[0-9.]+$|:/.test(text))
    throw invalidInput(
      [`${option}: ${JSON.stringify(text)} is not an address`],
      'name an endpoint with its namespace: NAMESPACE/NAME',
    );
  return { ip: text };
}

function entriesOf({ because }: Json): readonly Json[] {
  return Array.isArray(because) ? because.filter(isJson) : [];
}

/** The verdict, then a line for each end. */
function formatVerdict(body: Json): string {
  const verdict = body.allowed === true ? 'ALLOWED' : 'DENIED';
  const lines = entriesOf(body).map(
    ({ end, decision, reason }) => `  ${String(end).padEnd(11)}  ${String(decision).padEnd(7)}  ${String(reason)}\n`,
  );
  return `${verdict}: ${formatAnyEnd(body.from)} → ${formatAnyEnd(body.to)}, ${formatPorts(body)}\n${lines.join('')}`;
}

const EXAMPLE = `
The answer is computed from the stored objects. Nodes enforce a change within moments; use --wait on the write to know when. The exit
code is 0 for both answers; with --quiet it is 1 if the call is denied. Errors exit as usual.

Examples:
  tenetctl explain --from shop/web --to shop/db --port 5432
  tenetctl explain --from blue/shop/web --to 203.0.113.9 --port 53 --protocol UDP
  tenetctl explain --from 10.128.4.17 --to shop/db --protocol ICMP -o json`;
