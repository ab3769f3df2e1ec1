/** Lines of a truth table, and what holds before the first. */
import { describe, expect, test } from 'vitest';
import { PORTS, PROTOCOLS, truth, type Way } from './truth.ts';

const way = (from: string, to: string, protocol: Way['protocol'] = 'TCP', port: Way['port'] = 80): Way => ({
  from,
  to,
  protocol,
  port,
});

describe('a truth table', () => {
  test('is open within tenants and to the outside before the first line, and closed across', () => {
    const open = truth([]);
    const allowed = [way('x/a', 'z/c'), way('p/a', 'p/b'), way('x/a', 'out/a'), way('x/a', 'far/b')];
    const denied = [way('x/a', 'p/a'), way('s/a', 'x/a'), way('p/a', 's/a'), way('x/a', 'node/1'), way('s/a', 'out/a')];
    expect(allowed.filter((each) => !open(each))).toEqual([]);
    expect(denied.filter(open)).toEqual([]);
  });

  test('lets the last line decide that applies', () => {
    const table = truth(['- * > x/a', '+ y/*,z/b > x/a TCP', '- y/c > x/a 81']);
    expect(table(way('x/b', 'x/a'))).toBe(false);
    expect(table(way('y/a', 'x/a'))).toBe(true);
    expect(table(way('z/b', 'x/a', 'TCP', 81))).toBe(true);
    expect(table(way('z/b', 'x/a', 'UDP'))).toBe(false);
    expect(table(way('z/a', 'x/a'))).toBe(false);
    expect(table(way('y/c', 'x/a', 'TCP', 80))).toBe(true);
    expect(table(way('y/c', 'x/a', 'TCP', 81))).toBe(false);
  });

  test('means the tenant’s own by a star, no others', () => {
    const table = truth(['+ * > p/*', '- * > out/*']);
    expect(table(way('x/a', 'p/a'))).toBe(true);
    expect(table(way('s/a', 'p/a'))).toBe(false);
    expect(table(way('x/a', 'out/b'))).toBe(false);
    expect(table(way('x/a', 'far/b'))).toBe(true);
  });

  test('lets a pod reach itself whatever the lines say', () => {
    const table = truth(['- * > *']);
    for (const protocol of PROTOCOLS)
      for (const port of PORTS) expect(table(way('x/a', 'x/a', protocol, port))).toBe(true);
  });

  test.each(['x/a > x/b', '- x/a', '+ x/a > x/b ICMP', '+ x/a > x/b 80 TCP', '+ x/a > x/b TCP 82'])(
    'refuses %s',
    (line) => {
      expect(() => truth([line])).toThrow(SyntaxError);
    },
  );
});
