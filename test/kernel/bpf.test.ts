/** Loading programs into the kernel while signals come: a profiler's here, a child's end in an agent. */
import { Session } from 'node:inspector';
import { expect, it, onTestFinished } from 'vitest';
import { ERRNO, isErrno } from '../../dataplane/errors.ts';
import { BpfProgram } from '../../dataplane/fragments/extended-bpf.ts';
import { loadClassifier } from '../../dataplane/system/bpf.ts';

/** Long enough for the kernel to look for signals while it checks it. */
const INSTRUCTIONS = 3_000;
const LOADS = 200;

it('is done again when a signal has interrupted it', () => {
  const session = new Session();
  session.connect();
  onTestFinished(() => session.disconnect());
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: 1000 });
  session.post('Profiler.start');
  const program = new BpfProgram();
  for (let count = 0; count < INSTRUCTIONS; count++) program.compute(0, '=', count);
  const instructions = program.exit().assemble();
  const interrupted = Array.from({ length: LOADS }, () => {
    try {
      loadClassifier(instructions).close();
      return false;
    } catch (error) {
      if (isErrno(error, ERRNO.EAGAIN)) return true;
      throw error;
    }
  });
  expect(interrupted.filter((each) => each)).toEqual([]);
});
