/**
 * `?wait=enforced&timeout=10s` on the wire: what a write may ask for, and how it is answered once nodes have said whether they have
 * it. The waiting itself is enforcement's.
 */
import { type Static, type TSchema, Type } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Change } from '../enforcement/change.ts';
import type { Enforcement } from '../enforcement/enforcement.ts';
import { InvalidInput } from '../errors.ts';
import { DEFAULT_WAIT_MS, MAX_WAIT_MS, parseDurationMs } from '../model/duration.ts';
import type { Written } from '../operations/written.ts';
import { sendObject } from './conditions.ts';
import { answer, noContent } from './schemas/common.ts';
import { DeletedView } from './schemas/enforcement.ts';

/** Query of a write. */
export const WaitQuery = Type.Object(
  {
    wait: Type.Optional(
      Type.Unsafe<'enforced'>({
        type: 'string',
        enum: ['enforced'],
        description: '`enforced`: answer when every affected node has the change in its kernel; adds `status`',
      }),
    ),
    timeout: Type.Optional(
      Type.String({
        maxLength: 40,
        description: 'the longest wait: 10s by default, 5m at most; then the answer is 202 with the nodes that lag',
        examples: ['500ms', '10s', '1m'],
      }),
    ),
  },
  { additionalProperties: false },
);

/** Query of a write that can be tried first. */
export const DryRunQuery = Type.Object(
  {
    ...WaitQuery.properties,
    dryRun: Type.Optional(
      Type.Boolean({ description: '`true`: write nothing; answer which traffic the write would open or close' }),
    ),
  },
  { additionalProperties: false },
);

/** @throws InvalidInput for one that also waits: there is nothing nodes could have */
export function isDryRun({ dryRun = false, wait }: Static<typeof DryRunQuery>): boolean {
  if (dryRun && wait !== undefined)
    throw new InvalidInput('wait', 'cannot be given along with dryRun: a dry run writes nothing');
  return dryRun;
}

/** What a write asks for. */
export interface Wait {
  readonly timeoutMs: number;
}

/**
 * Call it before writing: a request that is not valid must not write, and nodes are listened to from then on.
 * @returns undefined for a write that does not wait
 * @throws InvalidInput
 */
export function waitOf({ wait, timeout }: Static<typeof WaitQuery>, enforcement: Enforcement): Wait | undefined {
  if (wait === undefined && timeout !== undefined)
    throw new InvalidInput('timeout', 'can be given only along with wait=enforced');
  const timeoutMs = timeoutOf(timeout, DEFAULT_WAIT_MS);
  if (wait === undefined) return undefined;
  enforcement.start();
  return { timeoutMs };
}

/** Milliseconds. @param otherwise where none is given @throws InvalidInput */
export function timeoutOf(timeout: string | undefined, otherwise: number): number {
  const timeoutMs = timeout === undefined ? otherwise : parseDurationMs(timeout);
  if (timeoutMs === undefined || timeoutMs <= 0 || timeoutMs > MAX_WAIT_MS)
    throw new InvalidInput('timeout', 'must be a duration such as 500ms, 10s or 1m, more than 0 and at most 5m');
  return timeoutMs;
}

/**
 * Sends the object written, after the nodes if that was asked for.
 * @param body the object on the wire
 * @param done the answer's code, by whether the object is new unless given
 */
export async function sendWritten(
  request: FastifyRequest,
  reply: FastifyReply,
  enforcement: Enforcement,
  wait: Wait | undefined,
  written: Written<unknown>,
  body: object,
  done = written.created ? 201 : 200,
): Promise<FastifyReply> {
  if (wait === undefined) return sendObject(request, reply, written, body, done);
  const outcome = await enforcement.wait(written.change, wait.timeoutMs);
  return sendObject(request, reply, written, { ...body, status: outcome }, outcome.enforced ? done : 202);
}

/** Answers a deletion, after the nodes if that was asked for. */
export async function sendDeleted(
  reply: FastifyReply,
  enforcement: Enforcement,
  wait: Wait | undefined,
  change: Change,
): Promise<FastifyReply> {
  if (wait === undefined) return reply.code(204).send();
  const status = await enforcement.wait(change, wait.timeoutMs);
  return reply.code(status.enforced ? 200 : 202).send({ status });
}

const LATE = 'Written, but not enforced everywhere in time. `status.lagging` names the nodes that lag.';

/** Response of a write that waited in vain. */
export function lateResponse(view: TSchema): Record<number, TSchema> {
  return { 202: answer(LATE, view) };
}

/** Responses of a deletion. */
export function deletedResponses(done: string): Record<number, TSchema> {
  return {
    200: answer('With `wait=enforced`: deleted on every affected node.', DeletedView),
    202: answer(LATE, DeletedView),
    204: noContent(done),
  };
}
