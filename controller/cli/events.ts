/**
 * Server-sent events out of the text of an answer, as far as Tenet's controller sends them: fields of one line each.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */

export interface ServerEvent {
  /** `message` unless named */
  readonly event: string;
  readonly data: string;
}

/** Each event once its empty line is there; comments, and an event that was cut off, are left out. */
export async function* parseEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent, void, undefined> {
  let rest = '';
  for await (const chunk of chunks) {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = parseBlock(block);
      if (event !== undefined) yield event;
    }
  }
}

function parseBlock(block: string): ServerEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const found = /^(?<name>[a-z]+): ?(?<value>.*)$/.exec(line)?.groups;
    if (found?.name !== undefined) fields.set(found.name, found.value ?? '');
  }
  const data = fields.get('data');
  return data === undefined ? undefined : { event: fields.get('event') ?? 'message', data };
}
