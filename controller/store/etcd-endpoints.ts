/**
 * Which of etcd's endpoints a call goes to, how long it may take, and where it goes next. An endpoint that refuses is left at once,
 * one that keeps silent after a second; what may be asked twice is then asked at the next one too, and the first answer counts. A
 * write is asked once, so it goes only to an endpoint that has just answered. How a call is made is not known here.
 */
import { connectionCause, describeFailure, toRpcError } from './etcd-failure.ts';
import { RpcError, type RpcFailure } from './etcd-rpc.ts';

/** A call is answered, or given up, within this many milliseconds unless the store is opened with another limit. */
export const DEFAULT_TIMEOUT_MS = 5000;

/** An endpoint is left after so long without an answer, milliseconds, or after this part of a shorter call. */
const SILENCE_MS = 1000;
const SILENCE_PART = 1 / 3;

/** How long calls may take after one has waited in vain for all its time, milliseconds; until etcd answers, or so long has passed again. */
const DOUBTED_MS = 1000;

/** Nothing came from etcd. */
const WITHOUT_ANSWER: readonly RpcFailure[] = ['not-sent', 'unanswered', 'slow'];
/** What may be asked twice is asked elsewhere after these; anything else only when it was never sent. */
const REPEATED_AFTER: readonly RpcFailure[] = [...WITHOUT_ANSWER, 'busy'];

/** One call to etcd, at whichever endpoint. */
export interface Question<T> {
  /** @param timeoutMs after which it must be given up; rejects with what gRPC or etcd said */
  readonly ask: (endpoint: number, timeoutMs: number) => Promise<T>;
  /** may it be asked twice? */
  readonly repeatable: boolean;
  /** milliseconds, where this call has less than others */
  readonly timeoutMs?: number | undefined;
}

/** The endpoints of one etcd, and which of them is asked now. */
export class EtcdEndpoints {
  readonly #urls: readonly string[];
  readonly #timeoutMs: number;
  readonly #probe: Question<unknown>['ask'];
  readonly #answeredMs: number[];
  /** why there was no connection to each, as last heard */
  readonly #causes: (string | undefined)[];
  #current: number;
  #doubtedUntilMs = 0;

  /** @param probe any question that changes nothing and that only a member with a quorum answers */
  constructor(urls: readonly string[], timeoutMs: number, probe: Question<unknown>['ask']) {
    if (urls.length === 0) throw new RangeError('no etcd endpoint is given');
    this.#urls = urls;
    this.#timeoutMs = timeoutMs;
    this.#probe = probe;
    this.#answeredMs = urls.map(() => Number.NEGATIVE_INFINITY);
    this.#causes = urls.map(() => undefined);
    this.#current = Math.floor(Math.random() * urls.length);
  }

  /** Where the next call goes. */
  get current(): number {
    return this.#current;
  }

  /** Later calls go to the next endpoint, unless another call has already moved on. */
  leave(endpoint: number): void {
    if (this.#current === endpoint) this.#current = (endpoint + 1) % this.#urls.length;
  }

  /** @throws RpcError, whose message names the endpoints asked and what came of each */
  async ask<T>(question: Question<T>): Promise<T> {
    const startedMs = performance.now();
    const patienceMs = this.#patienceMs(question.timeoutMs);
    const deadlineMs = startedMs + patienceMs;
    try {
      if (question.repeatable) return await this.#askAround(question, deadlineMs);
      await this.#findOneThatAnswers(deadlineMs);
      return await this.#askInTurn(question, deadlineMs);
    } catch (error) {
      const isSilent = error instanceof RpcError && (error.failure === 'slow' || error.failure === 'withheld');
      if (isSilent && patienceMs >= this.#timeoutMs) this.#doubtedUntilMs = performance.now() + this.#timeoutMs;
      throw error;
    }
  }

  /** An etcd that has just let a call wait in vain for all its time is not waited for at such length again at once. */
  #patienceMs(wantedMs = this.#timeoutMs): number {
    const isDoubted = performance.now() < this.#doubtedUntilMs;
    return Math.min(wantedMs, this.#timeoutMs, isDoubted ? DOUBTED_MS : Number.POSITIVE_INFINITY);
  }

  /** Sees to it that the current endpoint has answered within the last second, where there is a choice. */
  async #findOneThatAnswers(deadlineMs: number): Promise<void> {
    const answeredMs = this.#answeredMs[this.#current] ?? Number.NEGATIVE_INFINITY;
    if (this.#urls.length === 1 || performance.now() - answeredMs < SILENCE_MS) return;
    try {
      await this.#askAround({ ask: this.#probe, repeatable: true }, deadlineMs);
    } catch (error) {
      const { failure, message } = toRpcError(error);
      // It answered, if only to refuse the probe.
      if (!REPEATED_AFTER.includes(failure)) return;
      throw new RpcError(failure === 'slow' ? 'withheld' : 'not-sent', message, { cause: error });
    }
  }

  /** At one endpoint, and after each silence at the next one too; the first answer counts. */
  async #askAround<T>(question: Question<T>, deadlineMs: number): Promise<T> {
    const asked: Promise<T>[] = [];
    while (asked.length < this.#urls.length) {
      let onSilence = (): void => undefined;
      const silence = new Promise<'silence'>((resolve) => {
        onSilence = () => resolve('silence');
      });
      asked.push(this.#askInTurn(question, deadlineMs, onSilence));
      const settled = Promise.any(asked).then(
        () => 'settled' as const,
        () => 'settled' as const,
      );
      if ((await Promise.race([settled, silence])) === 'settled') break;
    }
    try {
      return await Promise.any(asked);
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      const errors: readonly RpcError[] = error.errors.map(toRpcError);
      throw errors.find(({ failure }) => failure === 'slow') ?? errors.at(-1) ?? error;
    }
  }

  /** At one endpoint after another, as long as each fails in a way that lets the next be asked. */
  async #askInTurn<T>(question: Question<T>, deadlineMs: number, onSilence?: () => void): Promise<T> {
    const startedMs = performance.now();
    const findings = new Map<number, string>();
    for (let tries = 1; ; tries++) {
      const endpoint = this.#current;
      const askedMs = performance.now();
      const silence = this.#expectAnswer(endpoint, deadlineMs - askedMs, onSilence);
      try {
        const answer = await question.ask(endpoint, Math.max(1, deadlineMs - askedMs));
        this.#heardFrom(endpoint);
        return answer;
      } catch (cause) {
        const error = toRpcError(cause);
        if (REPEATED_AFTER.includes(error.failure)) this.leave(endpoint);
        if (!WITHOUT_ANSWER.includes(error.failure)) this.#heardFrom(endpoint);
        const waitedMs = performance.now() - askedMs;
        this.#causes[endpoint] = connectionCause(error) ?? this.#causes[endpoint];
        findings.set(endpoint, describeFailure(error, this.#urls[endpoint] ?? '', waitedMs, this.#causes[endpoint]));
        const again = question.repeatable ? REPEATED_AFTER : (['not-sent'] as const);
        if (!again.includes(error.failure) || !this.#mayGoOn(error.failure, tries, startedMs, deadlineMs))
          throw new RpcError(error.failure, [...findings.values()].join('; '), { cause: error });
      } finally {
        clearTimeout(silence);
      }
    }
  }

  #mayGoOn(failure: RpcFailure, tries: number, startedMs: number, deadlineMs: number): boolean {
    const nowMs = performance.now();
    if (nowMs >= deadlineMs) return false;
    if (tries < this.#urls.length) return true;
    // Another call's failure makes etcd3 close the channel under calls that wait for it; a new one is opened on demand.
    return failure === 'not-sent' && tries === this.#urls.length && nowMs - startedMs < (deadlineMs - startedMs) / 2;
  }

  #expectAnswer(endpoint: number, leftMs: number, onSilence?: () => void): NodeJS.Timeout | undefined {
    if (this.#urls.length === 1) return undefined;
    const leave = (): void => {
      this.leave(endpoint);
      onSilence?.();
    };
    return setTimeout(leave, Math.min(SILENCE_MS, leftMs * SILENCE_PART));
  }

  #heardFrom(endpoint: number): void {
    this.#answeredMs[endpoint] = performance.now();
    this.#causes[endpoint] = undefined;
    this.#doubtedUntilMs = 0;
  }
}
