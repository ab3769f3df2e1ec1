/**
 * How tenetctl fails: its exit codes, the words for a problem document and for a server that does not answer. A person gets
 * what is wrong, field by field, and what to do about it; a script gets the code. Never prints and never ends the process.
 */

/** Documented in `tenetctl --help`; scripts rely on them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  invalid: 2,
  notFound: 3,
  conflict: 4,
  unauthorized: 5,
  unreachable: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Text of `--help` about the exit codes. */
export const EXIT_HELP = `
Exit codes:
  0  done
  1  another failure
  2  wrong usage or invalid input
  3  the object does not exist
  4  conflict: the object exists, is in use or has changed meanwhile, or a quota or pool is used up
  5  not authorized: the token is missing or wrong
  6  the server does not answer or cannot reach its store, try again; with --wait or restore: not every node was done
     in time`;

/** An expected failure: one line or more of what is wrong, and what to do where that is known. */
export class CliFailure extends Error {
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;
  constructor(exitCode: ExitCode, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** @param errors one line each */
export function invalidInput(errors: readonly string[], hint?: string): CliFailure {
  return new CliFailure(EXIT.invalid, errors.join('\n'), hint);
}

/** What REST answers instead of what was asked. @see RFC 9457 */
interface Problem {
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

const EXIT_OF_STATUS: Readonly<Record<number, ExitCode>> = {
  400: EXIT.invalid,
  401: EXIT.unauthorized,
  403: EXIT.unauthorized,
  404: EXIT.notFound,
  409: EXIT.conflict,
  412: EXIT.conflict,
  422: EXIT.invalid,
  503: EXIT.unreachable,
};

/**
 * @param body parsed if it was JSON, else the text
 * @param hint what to do, where the caller knows better than the status tells
 */
export function problemFailure(status: number, body: unknown, hint?: string): CliFailure {
  const exitCode = EXIT_OF_STATUS[status] ?? EXIT.failure;
  return new CliFailure(exitCode, problemText(status, body), hint ?? hintFor(status));
}

function problemText(status: number, body: unknown): string {
  if (typeof body !== 'object' || body === null) return `the server answered with status ${status} and no explanation`;
  const { title, detail, errors } = body as Problem;
  if (Array.isArray(errors) && errors.length > 0)
    return errors.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join('\n');
  return detail ?? title ?? `the server answered with status ${status}`;
}

function hintFor(status: number): string | undefined {
  if (status === 412) return 'the object has changed meanwhile: read it again, then repeat the command';
  if (status === 503) return 'the controller cannot reach its store: try again, then read its log';
  if (status >= 500) return 'the controller failed; see its log: journalctl -u tenet-controller';
  return undefined;
}
