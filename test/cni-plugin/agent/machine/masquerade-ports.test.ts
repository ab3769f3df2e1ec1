import { describe, expect, test } from 'vitest';
import {
  DEFAULT_MASQUERADE_PORTS,
  type NodePorts,
  parseMasqueradePorts,
  portConflicts,
} from '../../../../cni-plugin/agent/machine/masquerade-ports.ts';

describe('a range of ports', () => {
  test('is two numbers', () => {
    expect(parseMasqueradePorts(DEFAULT_MASQUERADE_PORTS)).toEqual({ from: 61_000, to: 65_535 });
    expect(parseMasqueradePorts('20000-20255')).toEqual({ from: 20_000, to: 20_255 });
  });

  test.each([
    ['61000', /looks like/],
    ['61000-', /looks like/],
    ['61000-65536', /looks like/],
    ['65535-61000', /looks like/],
    ['0-65535', /looks like/],
    [' 61000-65535', /looks like/],
    ['22-65535', /below 1024/],
    ['4000-5000', /VXLAN/],
    ['65000-65100', /at least 256 ports, not 101/],
  ])('is not %s', (text, why) => {
    expect(() => parseMasqueradePorts(text)).toThrow(why);
  });
});

const DEFAULT: NodePorts = { localRange: '32768\t60999\n', reserved: '\n', sockets: { tcp: [], udp: [] } };
const RANGE = parseMasqueradePorts(DEFAULT_MASQUERADE_PORTS);
const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

describe('what else has ports', () => {
  test('is nothing, on a node as it comes', () => {
    expect(portConflicts(RANGE, DEFAULT)).toEqual([]);
  });

  test('is what programs are given, unless it is reserved', () => {
    const wide = { ...DEFAULT, localRange: '1024\t65535\n' };
    expect(portConflicts(RANGE, wide)).toEqual([
      'programs of this node are given ports 61000-65535 of --masquerade-ports 61000-65535: ' +
        'set net.ipv4.ip_local_reserved_ports=61000-65535, or net.ipv4.ip_local_port_range apart from it',
    ]);
    expect(portConflicts(RANGE, { ...wide, reserved: '8080,61000-65000,65001-65535\n' })).toEqual([]);
    expect(portConflicts(RANGE, { ...wide, reserved: '61000-65000,65002-65535\n' })).toHaveLength(1);
    expect(portConflicts(RANGE, { ...DEFAULT, localRange: '61000\t61000\n' })).toHaveLength(1);
  });

  test('is NodePorts', () => {
    expect(portConflicts({ from: 32_000, to: 32_766 }, DEFAULT)).toEqual([
      '--masquerade-ports 32000-32766 has NodePorts (30000-32767) in it',
    ]);
  });

  test('is what listens, on either family; not connections, and not what listens elsewhere', () => {
    const tcp = `${HEAD}   0: 00000000:EE48 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:EE49 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 3\n`;
    const tcp6 = `${HEAD}   0: ${'0'.repeat(32)}:FFFF ${'0'.repeat(32)}:0000 0A 00000000:00000000 00:00000000 00000000     0\n`;
    const udp = `${HEAD}  77: 00000000:F000 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4 2 0\n`;
    expect(portConflicts(RANGE, { ...DEFAULT, sockets: { tcp: [tcp, tcp6], udp: [udp] } })).toEqual([
      'a program of this node listens on tcp port 61000, which is in --masquerade-ports 61000-65535',
      'a program of this node listens on tcp port 65535, which is in --masquerade-ports 61000-65535',
      'a program of this node listens on udp port 61440, which is in --masquerade-ports 61000-65535',
    ]);
  });
});
