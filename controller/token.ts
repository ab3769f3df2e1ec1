/**
 * The bearer token's file: made at the first start, for root alone, whole or not at all however many controllers start at once.
 * Nothing else ever writes it; the token itself is never logged.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidInput } from './errors.ts';

const TOKEN_BYTES = 32;
/** RFC 6750 section 2.1, and long enough not to be guessed */
const TOKEN = /^[A-Za-z0-9._~+/-]{16,512}=*$/;

/**
 * The token in the file, which is made if it is not there.
 * @throws InvalidInput when the file holds no token or cannot be used
 */
export function readOrCreateToken(path: string): string {
  try {
    return readToken(path) ?? createToken(path);
  } catch (error) {
    if (error instanceof InvalidInput) throw error;
    throw new InvalidInput('tokenFile', error instanceof Error ? error.message : String(error));
  }
}

function readToken(path: string): string | undefined {
  try {
    const token = readFileSync(path, 'utf8').trim();
    if (TOKEN.test(token)) return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  throw new InvalidInput('tokenFile', `${path} holds no token: 16 or more letters, digits or -._~+/`);
}

/** Written beside it and then linked, for link(2) fails where there is one already and never shows half a file. */
function createToken(path: string): string {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, `${token}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, path);
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const other = readToken(path);
    if (other === undefined) throw error;
    return other;
  } finally {
    unlinkSync(draft);
  }
}
