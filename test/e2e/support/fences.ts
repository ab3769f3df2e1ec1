/**
 * What pages of the documentation tell their readers to type, and what they say comes out: the fences `sh` and `console` in order, a
 * command each, with its here-document. Reads pages; runs nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lab/services.ts';

/** A command as it is typed, and the output that the page shows below it, if it shows any. */
export interface Typed {
  readonly command: string;
  readonly output?: string;
}

const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** Commands of a page's fences, in order. */
export function typedOn(page: string): Typed[] {
  const fences = [...textOf(page).matchAll(/^ *```(sh|console)\n([\s\S]*?)^ *```$/gm)];
  return fences.flatMap(([, kind, body = '']) => (kind === 'sh' ? ofScript(body) : ofConsole(body)));
}

/** Commands in the first column of a page's tables. */
export function typedInTables(page: string): Typed[] {
  return [...textOf(page).matchAll(/^\| `(tenetctl [^`]+)`/gm)].map(([, command = '']) => ({ command }));
}

/** The text of a page's first fence of a language. */
export function fenceOf(page: string, language: string): string {
  const found = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(textOf(page));
  if (found?.[1] === undefined) throw new Error(`${page} has no fence of ${language}`);
  return found[1];
}

function ofScript(body: string): Typed[] {
  const commands: Typed[] = [];
  const lines = body.split('\n');
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    let command = line;
    while (command.endsWith('\\')) command = `${command}\n${lines.shift() ?? ''}`;
    const end = /<<'(\w+)'/.exec(command)?.[1];
    while (end !== undefined && !command.endsWith(`\n${end}`) && lines.length > 0) command += `\n${lines.shift()}`;
    if (command.trim() !== '') commands.push({ command: command.trim() });
  }
  return commands;
}

function ofConsole(body: string): Typed[] {
  return body.split(/^\$ /m).flatMap((part) => {
    const [command = '', ...output] = part.split('\n');
    return command === '' ? [] : [{ command, output: output.join('\n') }];
  });
}

/** Output without what differs from run to run: addresses, times, and how far columns are apart. */
export function shapeOf(output: string): string {
  return output
    .replaceAll(/\d+-\d+-\d+T[\d:.]+Z/g, 'TIME')
    .replaceAll(/\d+\.\d+\.\d+\.\d+/g, 'ADDRESS')
    .replaceAll(/\s+/g, ' ')
    .trim();
}
