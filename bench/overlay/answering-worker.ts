/**
 * The far end of the measured conversations, a process of its own: `answering-worker.js PORT` in the namespace it is started in. Serves one
 * connection after the other, says `ready` on stdout when it listens, and ends with who started it.
 */
import { writeSync } from 'node:fs';
import { KernelError } from '../../dataplane/errors.ts';
import { Connection, endWithParent, listen } from '../system/tcp.ts';
import { answer } from './conversation.ts';

endWithParent();
const listener = listen(Number(process.argv[2]));
writeSync(1, 'ready\n');
for (;;) {
  const connection = Connection.accept(listener);
  try {
    answer(connection);
  } catch (error) {
    // Reset: the other end had heard enough.
    if (!(error instanceof KernelError)) throw error;
  } finally {
    connection.close();
  }
}
