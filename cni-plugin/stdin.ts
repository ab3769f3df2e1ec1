/** What the runtime writes to stdin, taken up to a limit: what comes after it is never read, and the whole is not kept. */
import { CNI_ERROR } from './agent-protocol.ts';
import { CniError } from './cni-error.ts';

/**
 * Reads to the end.
 * @returns as UTF-8 text
 * @throws CniError 7 once more than `limitBytes` have come
 */
export async function readBounded(chunks: AsyncIterable<Uint8Array>, limitBytes: number): Promise<string> {
  const taken: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limitBytes) {
      throw new CniError(CNI_ERROR.invalidConfig, `network configuration is longer than ${limitBytes} bytes`);
    }
    taken.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(taken));
}
