/**
 * Server-sent events out of a subscription, as fast as their reader takes them and never faster: what he does not take stays with the
 * subscription, which bounds it.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import { Readable } from 'node:stream';
import { formatPosition, type Position } from '../model/denials.ts';
import type { DenialEvent, DenialSubscription } from '../operations/denial-subscription.ts';
import { viewDenial } from './schemas/denial.ts';

/** So often at least something is sent, so that neither end, nor what is between, takes the connection for dead. */
export const HEARTBEAT_MS = 15_000;

/** Text that waits in the stream itself before events wait in the subscription. */
const BUFFERED_BYTES = 16 * 1024;

/** Ends after the subscription; closes it when destroyed. Begins with a comment, so that the answer's head goes out at once. */
export class EventStream extends Readable {
  readonly #subscription: DenialSubscription;
  readonly #heartbeat: NodeJS.Timeout;
  #isWanted = false;

  constructor(subscription: DenialSubscription, heartbeatMs: number = HEARTBEAT_MS) {
    super({ highWaterMark: BUFFERED_BYTES, encoding: 'utf8' });
    this.#subscription = subscription;
    // A reader that loses the connection before the first event knows where it began too: an id alone is no event.
    const start = formatPosition(subscription.position);
    this.push(`: what is refused from now on\n${start === '' ? '' : `id: ${start}\n`}\n`);
    subscription.onReady = () => this.#send();
    this.#heartbeat = setInterval(() => {
      if (this.#isWanted) this.#isWanted = this.push(':\n\n');
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#send();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    this.#subscription.close();
    callback(error);
  }

  #send(): void {
    while (this.#isWanted) {
      const event = this.#subscription.take();
      if (event === undefined) break;
      this.#isWanted = this.push(formatEvent(event, this.#subscription.position));
    }
    if (!this.#subscription.isOver || this.readableEnded || this.destroyed) return;
    clearInterval(this.#heartbeat);
    this.#isWanted = false;
    this.#subscription.onReady = () => {};
    this.push(null);
  }
}

function formatEvent(event: DenialEvent, position: Position): string {
  if (event.kind === 'gone') return 'event: gone\ndata: {}\n\n';
  if (event.kind === 'skipped') return `event: skipped\ndata: ${JSON.stringify({ count: event.count })}\n\n`;
  return `id: ${formatPosition(position)}\nevent: denial\ndata: ${JSON.stringify(viewDenial(event.denial))}\n\n`;
}
