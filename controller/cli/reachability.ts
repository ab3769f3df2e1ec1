/**
 * Ends, ports and flips as REST gives them, in words. Reads its JSON leniently. Pure.
 */
import { isJson, type Json } from './connection.ts';

/** What an address is where it is no endpoint's. */
const KINDS: Readonly<Record<string, string>> = {
  gateway: 'a gateway',
  node: 'a node',
  platform: "the platform's",
  reserved: 'reserved',
  nobody: 'unassigned',
  external: 'beyond the cluster',
};

/** `tenant/namespace/name (address)`, or `address (what it is)`; where a network was named, that. */
export function formatAnyEnd(end: unknown): string {
  if (!isJson(end)) return '?';
  const { kind, tenant, namespace, name, ips, ip, network } = end;
  if (kind !== 'endpoint') {
    const what = String(kind === 'external' && network !== undefined ? network : ip);
    return `${what} (${KINDS[String(kind)] ?? String(kind)})`;
  }
  const addresses = Array.isArray(ips) && ips.length > 0 ? ` (${ips.join(', ')})` : '';
  return `${String(tenant)}/${String(namespace)}/${String(name)}${addresses}`;
}

/** `TCP 80`, `TCP 80-90`, `ICMP`, `TCP` where it is all of them, `everything`. */
export function formatPorts({ protocol, port, endPort }: Json): string {
  if (protocol === 'any') return 'everything';
  if (port === undefined) return String(protocol);
  return `${String(protocol)} ${String(port)}${endPort === undefined ? '' : `-${String(endPort)}`}`;
}

/** One address beyond the cluster stands for all that no policy names. */
function formatFlipped(end: unknown): string {
  const isAnybody = isJson(end) && end.kind === 'external' && end.network === undefined;
  return isAnybody ? 'everywhere else beyond the cluster' : formatAnyEnd(end);
}

/** Lines that say what a dry run found, each with a newline. */
export function formatFlips({ flips, truncated }: Json): string {
  const found = Array.isArray(flips) ? flips.filter(isJson) : [];
  if (found.length === 0) return '  nothing would be opened or closed\n';
  const lines = found.map(
    (flip) =>
      `  ${flip.after === true ? 'opens ' : 'closes'}  ${formatAnyEnd(flip.from)} → ${formatFlipped(flip.to)}, ${formatPorts(flip)}\n`,
  );
  return lines.join('') + (truncated === true ? '  and more\n' : '');
}
