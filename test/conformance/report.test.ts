/** What people and machines get to read: the matrix of what is wrong, and JUnit's XML. */
import { describe, expect, test } from 'vitest';
import { escapeXml, formatJunit } from './junit.ts';
import { formatWrong } from './matrix.ts';
import type { Cell, Observation } from './probes.ts';
import type { Way } from './truth.ts';

const cell = (
  from: string,
  to: string,
  expected: Cell['expected'],
  observed: Observation,
  more: Partial<Way> & { why?: string } = {},
): Cell => {
  const { why, ...rest } = more;
  return {
    way: { from, to, protocol: 'TCP', port: 80, ...rest },
    expected,
    observed,
    ...(why !== undefined && { why }),
  };
};

describe('the matrix', () => {
  test('is empty when nothing is wrong', () => {
    expect(formatWrong([cell('x/a', 'x/b', 'allowed', 'allowed'), cell('x/b', 'x/a', 'denied', 'denied')])).toBe('');
  });

  test('shows expected and observed where they differ, and who refused', () => {
    const text = formatWrong([
      cell('x/a', 'x/a', 'allowed', 'allowed'),
      cell('x/a', 'x/b', 'allowed', 'denied'),
      cell('x/b', 'x/a', 'denied', 'refused', { why: 'TCP reset' }),
      cell('x/b', 'x/b', 'denied', 'arrived'),
    ]);
    const rows = text.split('\n').filter((line) => /^│ x/.test(line));
    expect(rows.map((row) => row.replace(/ +/g, ' '))).toEqual(['│ x/a │ ✓ │ ✓→✗ │', '│ x/b │ ✗→R │ ✗→1 │']);
    expect(text).toContain('Refused by: TCP reset.');
  });

  test('shows only protocols and ports with something wrong, like ones once', () => {
    const all = (['TCP', 'UDP', 'SCTP'] as const).map((protocol) =>
      cell('x/a', 'x/b', 'denied', protocol === 'SCTP' ? 'denied' : 'allowed', { protocol }),
    );
    const [title, ...rest] = formatWrong(all).split('\n');
    expect(title).toBe('TCP 80, UDP 80');
    expect(rest.filter((line) => line.includes('x/a'))).toHaveLength(1);
  });
});

describe('JUnit', () => {
  test('says what XML cannot hold in entities, or not at all', () => {
    expect(escapeXml('a < b & "c" > \'d\'\n\u0007\u001b[1m')).toBe(
      'a &lt; b &amp; &quot;c&quot; &gt; &apos;d&apos;&#10;[1m',
    );
    expect(escapeXml('→ ✓ \ud800 😀')).toBe('→ ✓  😀');
  });

  test('has a suite for each family, with counts', () => {
    const xml = formatJunit([
      { name: 'one/a', seconds: 0.25, failure: '' },
      { name: 'one/b', seconds: 0.5, failure: 'x > y\nmore' },
      { name: 'two/a', seconds: 1, failure: '' },
    ]);
    expect(xml.split('\n')).toEqual([
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<testsuites name="conformance" tests="3" failures="1" errors="0" time="1.750">',
      '  <testsuite name="one" tests="2" failures="1" errors="0" time="0.750">',
      '    <testcase classname="conformance.one" name="one/a" time="0.250"/>',
      '    <testcase classname="conformance.one" name="one/b" time="0.500">' +
        '<failure message="x &gt; y">x &gt; y&#10;more</failure></testcase>',
      '  </testsuite>',
      '  <testsuite name="two" tests="1" failures="0" errors="0" time="1.000">',
      '    <testcase classname="conformance.two" name="two/a" time="1.000"/>',
      '  </testsuite>',
      '</testsuites>',
      '',
    ]);
  });
});
