/**
 * A one-consumer queue of watch batches: the store pushes, a `for await` loop takes. It keeps order and never drops; how
 * much may pile up is the pusher's concern.
 */
import type { WatchBatch } from './store.ts';

/** Batches on their way to one watch's consumer. */
export class BatchQueue {
  readonly #batches: WatchBatch[] = [];
  #ending: { readonly error?: Error } | undefined;
  #wake: (() => void) | undefined;

  push(batch: WatchBatch): void {
    if (this.#ending) return;
    this.#batches.push(batch);
    this.#wake?.();
  }

  /** After what is queued, the consumer's loop ends, or throws `error`. Only the first call counts. */
  end(error?: Error): void {
    this.#ending ??= error ? { error } : {};
    this.#wake?.();
  }

  /** Takes batches until the queue ends; returns at once, whatever is queued, when `signal` aborts. */
  async *drain(signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    const onAbort = (): void => this.#wake?.();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        const batch = this.#batches.shift();
        if (batch) yield batch;
        else if (this.#ending?.error) throw this.#ending.error;
        else if (this.#ending) return;
        else await this.#pushed();
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #pushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
