/** vitest's global set-up of the e2e projects: when a run is over, the stages that its workers shared go. */
import { listLabs } from '../../lab/state.ts';
import { takeDown } from '../../lab/take-down.ts';

/** Labs that the workers of one run share begin with it; five characters hold any process id. @param pid of the run's main process */
export const sharedIdPrefix = (pid: number): string => `s${pid.toString(36).padStart(5, '0')}`;

export function setup(): () => Promise<void> {
  return async () => {
    for (const id of listLabs()) if (id.startsWith(sharedIdPrefix(process.pid))) await takeDown(id);
  };
}
