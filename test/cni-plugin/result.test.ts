/** Results of ADD in each version's form, against goldens, and behind an earlier plugin's. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { chainResult, convertResult } from '../../cni-plugin/result.ts';
import { SUPPORTED_VERSIONS } from '../../cni-plugin/version.ts';
import { RESULT } from './calls.ts';

const golden = JSON.parse(readFileSync(new URL('golden/results.json', import.meta.url), 'utf8')) as Record<
  string,
  object
>;

describe('a result', () => {
  test.each(SUPPORTED_VERSIONS)('in %s has exactly that version’s fields', (version) => {
    const converted = convertResult(RESULT, version);
    expect(JSON.parse(JSON.stringify(converted))).toEqual({ cniVersion: version, ...golden[goldenOf(version)] });
    expect(Object.keys(converted)[0]).toBe('cniVersion');
  });

  test('of no addresses stays one', () => {
    const empty = { interfaces: [], ips: [], routes: [], dns: {} };
    expect(convertResult(empty, '0.4.0')).toEqual({ cniVersion: '0.4.0', ...empty });
  });
});

/** The versions between two changes of form share one golden. */
function goldenOf(version: string): string {
  return version.startsWith('0.') ? '0.3.0' : version;
}

describe('behind an earlier plugin', () => {
  const ours = convertResult(RESULT, '1.0.0');

  test('comes after its interfaces, and addresses point at ours', () => {
    const earlier = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'lo', sandbox: '/run/netns/cni-1234' }],
      ips: [{ address: '127.0.0.1/8', interface: 0 }],
      dns: { nameservers: ['10.0.0.10'] },
    };
    const chained = chainResult(earlier, ours) as unknown as typeof golden & { ips: object[]; interfaces: object[] };
    expect(chained.interfaces).toEqual([...earlier.interfaces, ...(ours.interfaces as object[])]);
    expect(chained.ips).toEqual([
      { address: '127.0.0.1/8', interface: 0 },
      { address: '10.128.0.7/32', gateway: '169.254.1.1', interface: 2 },
      { address: 'fd00::7/128', gateway: 'fe80::1', interface: 2 },
    ]);
    expect(chained.dns).toEqual(earlier.dns);
  });

  test('an empty prevResult changes nothing', () => {
    expect(chainResult({}, ours)).toEqual(ours);
  });
});
