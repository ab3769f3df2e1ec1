/**
 * `tenetctl backup` and `tenetctl restore`: the cluster as a file, and a file as the cluster.
 */
import { type Command, Option } from 'commander';
import { DEFAULT_RECOVERY_MS, MAX_WAIT_MS, parseDurationMs } from '../../model/duration.ts';
import { checkContent, describeCounts, fileContent, passBackup, textContent, writeBackup } from '../backup-file.ts';
import { isJson, type Json } from '../connection.ts';
import { CliFailure, EXIT, invalidInput } from '../failures.ts';
import { type Column, formatObjects } from '../output.ts';
import { BACKUP, RESTORE } from '../paths.ts';
import type { OpenSession, Session } from '../terminal.ts';

const TYPE = 'application/x-ndjson';
const DEFAULT_TIMEOUT = `${DEFAULT_RECOVERY_MS / 60_000}m`;

/** A large cluster takes so long to be written, milliseconds. */
const WRITING_MS = 600_000;

export function addBackup(program: Command, open: OpenSession): void {
  program
    .command('backup')
    .description('write all that makes the cluster to a file, as it is at one moment')
    .argument('<file>', 'file, or - for standard output')
    .addHelpText('after', BACKUP_HELP)
    .action(async (path: string, _: unknown, command: Command) => {
      const { connection, out, err } = open(command);
      const download = () => connection.download(BACKUP);
      const summary = path === '-' ? await passBackup(await download(), out) : await writeBackup(path, download);
      const place = path === '-' ? 'standard output' : path;
      err(`${describeCounts(summary)} at revision ${summary.head.revision} written to ${place}\n`);
      for (const { key, reason } of summary.leftOut)
        err(`tenetctl: left out ${key}, which the controller cannot read: ${reason}\n`);
    });
}

interface RestoreOptions {
  readonly yes?: boolean;
  readonly timeout: string;
  readonly output?: 'json' | 'yaml';
}

export function addRestore(program: Command, open: OpenSession): void {
  program
    .command('restore')
    .description('make the cluster what a backup says; what is not in the backup is removed')
    .argument('<file>', 'file that `tenetctl backup` wrote, or - for standard input')
    .option('--yes', 'do it; without this, only check the file and say what is in it')
    .option('--timeout <time>', 'the longest wait for nodes to hold again what they held, at most 5m', DEFAULT_TIMEOUT)
    .addOption(new Option('-o, --output <format>', 'print what REST returns').choices(['json', 'yaml']))
    .addHelpText('after', RESTORE_HELP)
    .action(async (path: string, { yes, timeout, output }: RestoreOptions, command: Command) => {
      const timeoutMs = parseDurationMs(timeout) ?? 0;
      if (timeoutMs <= 0 || timeoutMs > MAX_WAIT_MS)
        throw invalidInput([`timeout: ${JSON.stringify(timeout)} is not a duration such as 30s or 1m, of at most 5m`]);
      const session = open(command);
      const name = path === '-' ? 'standard input' : path;
      const content = path === '-' ? textContent(await session.readInput()) : fileContent(path);
      const summary = await checkContent(name, content);
      const { at, revision } = summary.head;
      const contents = `${name} is whole: ${describeCounts(summary)}, of ${at}, revision ${revision}`;
      if (yes !== true)
        throw invalidInput([contents], 'nothing was done. --yes makes the cluster this, and removes all else of it');
      const { body } = await session.connection.request('PUT', RESTORE, {
        content: { type: TYPE, parts: content() },
        query: { timeout },
        extraMs: timeoutMs + WRITING_MS,
      });
      if (!isJson(body)) throw new CliFailure(EXIT.failure, 'the server did not say what it restored');
      if (output === undefined) report(session, body);
      else session.out(formatObjects(output, body, [], { columns: [], reference: () => '' }, session.nowMs()));
      checkRecovered(body);
    });
}

/** A row for each kind that was written or removed, then what was lost. */
function report({ out, err, nowMs }: Session, body: Json): void {
  const [restored, removed] = [countsIn(body.restored), countsIn(body.removed)];
  const kinds = [...new Set([...Object.keys(restored), ...Object.keys(removed)])].sort();
  const rows = kinds.map((kind) => ({ kind, restored: restored[kind] ?? 0, removed: removed[kind] ?? 0 }));
  if (rows.length === 0) out('the cluster was what the backup says already\n');
  else out(formatObjects('table', body, rows, { columns: COLUMNS, reference: () => '' }, nowMs()));
  const lost = Array.isArray(body.notKept) ? body.notKept.filter(isJson) : [];
  for (const each of lost) err(`not kept: ${describeLost(each)}\n`);
  if (Number(body.more) > 0) err(`not kept: ${Number(body.more)} more\n`);
}

const COLUMNS: readonly Column[] = [
  { title: 'KIND', value: ({ kind }) => String(kind) },
  { title: 'WRITTEN', value: ({ restored }) => String(restored) },
  { title: 'REMOVED', value: ({ removed }) => String(removed) },
];

function countsIn(value: unknown): Json {
  return isJson(value) ? value : {};
}

function describeLost({ kind, name, tenant, node, reason }: Json): string {
  const of =
    tenant === undefined || String(name).startsWith(`${String(tenant)}/`) ? '' : ` of tenant ${String(tenant)}`;
  const on = node === undefined ? '' : ` on ${String(node)}`;
  return `${String(kind)} ${String(name)}${of}${on}: ${String(reason)}`;
}

/** @throws CliFailure naming the nodes that are waited for */
function checkRecovered({ recovered, waitingFor }: Json): void {
  if (recovered === true) return;
  const nodes = Array.isArray(waitingFor) && waitingFor.length > 0 ? waitingFor.join(', ') : 'nodes';
  throw new CliFailure(
    EXIT.unreachable,
    `restored, but no new tenant, subnet or block is granted yet: waiting for ${nodes} to hold again what they held`,
    'it ends by itself once they do, and waits a minute for nodes whose agent is dead: tenetctl node status',
  );
}

const BACKUP_HELP = `
The file holds settings, tenants, namespaces, policies, peerings, and what nodes hold. Keep it as you keep the token: only its owner
can read it. It is replaced when the new one is whole. Restore it with tenetctl restore.`;

const RESTORE_HELP = `
The whole file is checked before anything is written. The store begins a new history: nodes claim again the addresses that their
containers have, and what could not be kept is listed. A restore that was interrupted leaves the cluster closed to changes: repeat it.
The exit code is 6 if nodes do not claim in time.`;
