/**
 * Answers to what never reaches the application: bytes that are no HTTP, requests that are too slow or too large to be taken, and those
 * that HTTP itself forbids. They are problem documents like all other failures. Owns no socket.
 */
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { formatProblem, PROBLEM_TYPE, PROBLEMS, type ProblemCode } from './api/problems.ts';

/** An answer that is not the application's. */
export interface Refusal {
  readonly requestId: string;
  readonly status: number;
  /** for the log: what the parser says, or what is wrong with the request */
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @see node:http, Event 'clientError'; the codes of llhttp's errors begin with HPE_ */
const CODE_OF_ERROR: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
};

/** @param error what Node's parser or its clock found */
export function refuseUnparsed({ code = '' }: NodeJS.ErrnoException): Refusal {
  const kind = CODE_OF_ERROR[code] ?? 'invalid_input';
  return refusal(kind, kind === 'invalid_input' ? 'this is not HTTP' : PROBLEMS[kind].meaning, code);
}

/** What a request that was parsed must not be: Node would answer without a body. @returns undefined for one to go on with */
export function refuseRequest({ httpVersion, headers }: IncomingMessage): Refusal | undefined {
  const { host, expect } = headers;
  // RFC 9112 section 3.2
  if (httpVersion === '1.1' && host === undefined)
    return refusal('invalid_input', 'the request has no header Host', 'no Host');
  // RFC 9110 section 10.1.1
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    return refusal('invalid_input', 'the header Expect can only be 100-continue', 'Expect');
  return undefined;
}

function refusal(code: ProblemCode, detail: string, reason: string): Refusal {
  const requestId = randomUUID();
  const body = JSON.stringify(formatProblem({ code, detail }, requestId));
  const headers = {
    connection: 'close',
    'content-type': PROBLEM_TYPE,
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
  };
  return { requestId, status: PROBLEMS[code].status, reason, headers, body };
}

/** For a connection of which the parser makes nothing more. */
export function formatResponse({ status, headers, body }: Refusal): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n');
}
