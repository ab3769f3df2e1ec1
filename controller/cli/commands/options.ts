/**
 * Parsers of option values that several commands take. Each throws commander's error, which names the option.
 */
import { InvalidArgumentError, Option } from 'commander';
import { FORMATS } from '../output.ts';

/** `-o FORMAT` */
export function formatOption(): Option {
  return new Option('-o, --output <format>', 'output format').choices([...FORMATS]);
}

/** `--wait[=TIMEOUT]` */
export function waitOption(): Option {
  return new Option('--wait [timeout]', 'wait until all affected nodes have the change in the kernel (default: 10s)');
}

/** Collects an option given several times. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** Collects `--label k=v` given several times; the value may be empty. */
export function collectLabel(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const split = text.indexOf('=');
  if (split < 1) throw new InvalidArgumentError('It must look like key=value.');
  return { ...before, [text.slice(0, split)]: text.slice(split + 1) };
}

/** A whole number, 0 or more. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** `22` or `/22` */
export function prefixLength(text: string): number {
  return wholeNumber(text.replace(/^\//, ''));
}
