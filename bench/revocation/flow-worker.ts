/**
 * One end of flows that last, as a process of its own in a pod's namespace: `flow-worker.js listen|connect PEER TCPPORT UDPPORT`. Sends
 * datagrams and pieces of a TCP stream at a steady pace, whatever becomes of them. Says `ready` when TCP may connect, and ends with who
 * started it.
 */
import { writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { sleepUs } from '../system/clock.ts';
import { Connection, endWithParent, listen } from '../system/tcp.ts';
import { Datagrams } from '../system/udp.ts';

/** At most 5000 datagrams a second: what a call and a late timer take comes on top. */
const PACE_US = 150;
/** Pieces of the stream are fewer. */
const DATAGRAMS_PER_PIECE = 4;

endWithParent();
// A pause of the flow must be the rules' doing, not that of a busy machine.
setPriority(-20);
const [role = '', peer = '', tcpPort = '', udpPort = ''] = process.argv.slice(2);
const datagrams = new Datagrams(peer, Number(udpPort));
const connection = role === 'listen' ? acceptOne(Number(tcpPort)) : Connection.open(peer, Number(tcpPort));
const piece = new Uint8Array(100);
const scratch = new Uint8Array(65_536);
for (let tick = 0; ; tick++) {
  datagrams.send(piece);
  if (tick % DATAGRAMS_PER_PIECE === 0) connection.exchange(piece, scratch);
  sleepUs(PACE_US);
}

function acceptOne(port: number): Connection {
  const listener = listen(port);
  writeSync(1, 'ready\n');
  return Connection.accept(listener);
}
