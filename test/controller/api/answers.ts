/**
 * Holds every answer of an application to what its route declares for that status: the media type, each field, none besides. The
 * product sends bodies as the routes make them, so a wrong one is noticed here. Fixtures watch their applications; a test that is
 * about something else altogether fails as well when an answer on its way is not as documented.
 */
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../../../controller/api/metrics.ts';
import { Problem, problemResponses } from '../../../controller/api/problems.ts';
import { describeFaults } from '../../../controller/api/validation.ts';

/** A JSON schema, or a part of one. */
type Schema = Readonly<Record<string, unknown>>;

/** What a route declares, by status: a body's schema, or one for each media type. */
type Responses = Readonly<Record<string, Schema>>;

/** One answer, as it is sent. */
export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly contentType: string;
  /** text; empty where there is no body, something else where it is a stream */
  readonly body: unknown;
}

/** What is answered where no route is found. */
const NO_ROUTE = problemResponses('not_found', 'method_not_allowed') as unknown as Responses;

type Validator = ReturnType<typeof TypeBoxValidatorCompiler>;

/** Made when a test first meets the schema, and kept for the file's other applications. */
const validators = new Map<string, Validator>();

export class AnswerCheck {
  readonly #faults: string[] = [];
  /** requests whose answers have been judged, by id */
  readonly #judged = new Set<string>();
  #findNamed: (name: string) => unknown = () => undefined;

  /** Metrics are shown the application before any of its routes, and so is this. */
  watching(metrics: Metrics): Metrics {
    return {
      ...metrics,
      observe: (app) => {
        metrics.observe(app);
        this.watch(app);
      },
    };
  }

  /** @param app none of whose routes is declared yet */
  watch(app: FastifyInstance): void {
    this.#findNamed = (name) => app.getSchema(name);
    app.addHook('onSend', async (request, reply, body) => {
      this.#judged.add(request.id);
      const { url = request.url, schema } = request.routeOptions;
      // The documentation's page is a library's, and documented nowhere.
      if (reply.statusCode < 400 && (schema as { readonly hide?: boolean } | undefined)?.hide) return;
      const contentType = String(reply.getHeader('content-type') ?? '');
      const sent = { method: request.method, url, status: reply.statusCode, contentType, body: body ?? '' };
      this.#judge(sent, (schema?.response as Responses | undefined) ?? NO_ROUTE);
    });
  }

  /** For what never came to a route, and so to no hook: a path that cannot be read. @param id the answer's X-Request-Id */
  judgeUnseen(id: string, sent: Sent): void {
    if (!this.#judged.has(id)) this.#judge(sent, NO_ROUTE);
  }

  /** @throws with every answer that was wrong since the last time, and its fields at fault */
  verify(): void {
    const faults = this.#faults.splice(0);
    if (faults.length > 0) throw new Error(`answers are not as their routes declare them:\n${faults.join('\n')}`);
  }

  #judge(sent: Sent, responses: Responses): void {
    const { method, url, status } = sent;
    const declared = responses[status];
    const faults = declared === undefined ? ['the status is not declared'] : this.#judgeBody(sent, declared);
    this.#faults.push(...faults.map((fault) => `${method} ${url} ${status}: ${fault}`));
  }

  #judgeBody({ contentType, body }: Sent, declared: Schema): string[] {
    if (declared.type === 'null') return body === '' ? [] : ['has a body, and none is declared'];
    const byType = (declared.content as Readonly<Record<string, { readonly schema: Schema }>> | undefined) ?? {
      [declared.type === 'string' ? 'text/plain' : 'application/json']: { schema: declared },
    };
    const mediaType = contentType.split(';')[0] ?? '';
    const schema = byType[mediaType]?.schema;
    if (schema === undefined) return [`the media type is not declared: ${mediaType || '(none)'}`];
    // What goes on as long as its reader likes is no JSON.
    if (typeof body !== 'string') return [];
    if (!mediaType.includes('json')) return this.#judgeValue(body, schema);
    try {
      return this.#judgeValue(JSON.parse(body), schema);
    } catch (error) {
      if (error instanceof SyntaxError) return [`body: is no JSON: ${error.message}`];
      throw error;
    }
  }

  #judgeValue(value: unknown, schema: Schema): string[] {
    const closed = this.#close(schema);
    const key = JSON.stringify(closed);
    const validate = validators.get(key) ?? compile(closed);
    validators.set(key, validate);
    const { error } = validate(value) as { readonly error?: Parameters<typeof describeFaults>[0] };
    if (error === undefined) return [];
    const found = describeFaults(error, 'body').map(({ field, message }) => `${field}: ${message}`);
    return found.length > 0 ? found : ['body: is none of what is declared'];
  }

  /** The same with references resolved, and no field in any object besides those that are named. */
  #close(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((each) => this.#close(each));
    if (typeof schema !== 'object' || schema === null) return schema;
    const { $ref, ...own } = schema as Schema;
    if (typeof $ref === 'string') return this.#close(this.#find($ref.replace(/#$/, '')));
    const closed = Object.fromEntries(Object.entries(own).map(([key, part]) => [key, this.#close(part)]));
    return 'properties' in closed ? { additionalProperties: false, ...closed } : closed;
  }

  #find(name: string): unknown {
    const found = name === 'Problem' ? Problem : this.#findNamed(name);
    if (found === undefined) throw new Error(`there is no schema ${JSON.stringify(name)}`);
    return found;
  }
}

function compile(schema: unknown): Validator {
  const input = { schema, method: '', url: '', httpPart: 'body' } as unknown;
  return TypeBoxValidatorCompiler(input as Parameters<typeof TypeBoxValidatorCompiler>[0]);
}
