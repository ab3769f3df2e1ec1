/**
 * Truth tables in a few words: which end may call which, written by hand for each case, not computed. Pure.
 *
 * Everybody is `namespace/name`. A line changes what the lines before it said:
 *
 *     - * > x/a              no end reaches x/a
 *     + y/*,z/b > x/a TCP    these do, by TCP, on both ports
 *     + * > x/a UDP 81       everybody does, by UDP, on 81 alone
 *
 * Before the first line the tenants' own world is open: within a tenant and to the world outside everything is allowed, across
 * tenants and to the nodes nothing. Whatever the lines say, a pod reaches itself.
 */

export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
export type Protocol = (typeof PROTOCOLS)[number];
export const PORTS = [80, 81] as const;
export type Port = (typeof PORTS)[number];

/** `own`: of the tenant that the suite is about; `outside` and `node` are only called. */
export type Kind = 'own' | 'peer' | 'stranger' | 'outside' | 'node';

/** Whose namespaces they are; any other is the tenant's own. */
const KINDS: Readonly<Record<string, Kind>> = {
  p: 'peer',
  s: 'stranger',
  out: 'outside',
  far: 'outside',
  node: 'node',
};

/** @param name `namespace/name` */
export function kindOf(name: string): Kind {
  return KINDS[name.split('/')[0] ?? ''] ?? 'own';
}

export interface Way {
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly port: Port;
}

/** true: allowed */
export type Truth = (way: Way) => boolean;

interface Line {
  readonly allows: boolean;
  readonly from: (name: string) => boolean;
  readonly to: (name: string) => boolean;
  readonly protocol?: string;
  readonly port?: number;
}

const LINE = /^([+-]) (\S+) > (\S+)(?: (TCP|UDP|SCTP))?(?: (80|81))?$/;

/** @throws SyntaxError for a line that is none */
export function truth(lines: readonly string[]): Truth {
  const parsed = lines.map(parseLine);
  return (way) => {
    if (way.from === way.to) return true;
    const last = parsed.findLast((line) => applies(line, way));
    return last?.allows ?? isOpenWorld(way);
  };
}

function isOpenWorld({ from, to }: Way): boolean {
  return kindOf(from) === kindOf(to) || (kindOf(from) === 'own' && kindOf(to) === 'outside');
}

function applies({ from, to, protocol, port }: Line, way: Way): boolean {
  return (
    from(way.from) &&
    to(way.to) &&
    (protocol === undefined || protocol === way.protocol) &&
    (port === undefined || port === way.port)
  );
}

function parseLine(text: string): Line {
  const [, sign, from = '', to = '', protocol, port] = LINE.exec(text) ?? [];
  if (sign === undefined) throw new SyntaxError(`not a line of a truth table: ${text}`);
  return {
    allows: sign === '+',
    from: matcher(from),
    to: matcher(to),
    ...(protocol !== undefined && { protocol }),
    ...(port !== undefined && { port: Number(port) }),
  };
}

/** A list of names; a star stands for any pod, or for any of the tenant's own namespaces. */
function matcher(patterns: string): (name: string) => boolean {
  const each = patterns.split(',').map((pattern) => {
    const [namespace, pod = '*'] = pattern.split('/');
    return (name: string) => {
      const [ofNamespace, ofPod] = name.split('/');
      const isThere = namespace === '*' ? kindOf(name) === 'own' : namespace === ofNamespace;
      return isThere && (pod === '*' || pod === ofPod);
    };
  });
  return (name) => each.some((matches) => matches(name));
}
