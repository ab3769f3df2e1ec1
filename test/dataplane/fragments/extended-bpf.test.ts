/** Instructions of extended BPF as bytes, held against what llvm-objdump prints for the same ones. */
import { expect, test } from 'vitest';
import { BpfProgram, STACK } from '../../../dataplane/fragments/extended-bpf.ts';

const hex = (program: BpfProgram) => Buffer.from(program.assemble()).toString('hex').match(/.{16}/g);

test('instructions are encoded as the kernel reads them', () => {
  const program = new BpfProgram()
    .compute(6, '=', { of: 1 })
    .load(0, { base: 6, offset: 40, width: 32 })
    .store({ base: STACK, offset: -8, width: 64 }, 0)
    .packet(20, 16)
    .map(1, 5)
    .address(2, -8)
    .call('lookUp')
    .addTo({ base: 0, offset: 8, width: 64 }, 1)
    .compute(0, '=', -1)
    .exit();
  expect(hex(program)).toEqual([
    'bf16000000000000', // r6 = r1
    '6160280000000000', // w0 = *(u32 *)(r6 + 40)
    '7b0af8ff00000000', // *(u64 *)(r10 - 8) = r0
    '2800000014000000', // r0 = *(u16 *)skb[20]
    '1811000005000000', // r1 = map 5
    '0000000000000000',
    'bfa2000000000000', // r2 = r10
    '07020000f8ffffff', // r2 += -8
    '8500000001000000', // call 1
    'db10080000000000', // lock *(u64 *)(r0 + 8) += r1
    'b7000000ffffffff', // r0 = -1
    '9500000000000000', // exit
  ]);
});

test('jumps go to labels before and behind them, and to no others', () => {
  const program = new BpfProgram()
    .label('again')
    .when(0, '&', 3, 'end')
    .when(1, '>', { of: 2 }, 'again')
    .label('end')
    .exit();
  expect(hex(program)).toEqual(['4500010003000000', '2d21feff00000000', '9500000000000000']);
  expect(() => new BpfProgram().go('nowhere').assemble()).toThrow('no label nowhere');
});
