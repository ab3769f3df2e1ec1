/**
 * A process of a lab: listens on the machine's own loopback, a free port for each controller, and hands every connection to that
 * controller's unix socket, which no namespace keeps away. Arguments: NAME=SOCKET… Prints the ports as a line of JSON once it listens.
 */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';

const ports: Record<string, number> = {};
for (const argument of process.argv.slice(2)) {
  const equals = argument.indexOf('=');
  const socketPath = argument.slice(equals + 1);
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const controller = createConnection({ path: socketPath, allowHalfOpen: true });
    client.pipe(controller).pipe(client);
    // A controller that is down looks as it would on a port of its own: the connection ends.
    for (const [one, other] of [
      [client, controller],
      [controller, client],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ports[argument.slice(0, equals)] = (server.address() as AddressInfo).port;
}
// Into its log, where the lab looks for it.
console.log(JSON.stringify({ ports }));
