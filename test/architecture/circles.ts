/**
 * Finds imports that go round, types included: files that need each other are one file, or lack a third that both need. Works on paths and
 * texts in memory.
 */
import type { Sources, Violation } from './check.ts';

/** One violation for each import that closes a circle. @param importsOf files that a file imports, and the line of each import */
export function checkCircles(
  sources: Sources,
  importsOf: (file: string, text: string) => readonly { readonly target: string; readonly line: number }[],
): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (file: string): void => {
    way.push(file);
    for (const { target, line } of importsOf(file, sources.get(file) ?? '')) {
      const start = way.indexOf(target);
      if (start >= 0 && target !== file) {
        const message = `closes a circle: ${[...way.slice(start), target].join(' → ')}`;
        found.push({ rule: 'circle', file, line, message });
      } else if (sources.has(target) && !done.has(target)) visit(target);
    }
    way.pop();
    done.add(file);
  };
  for (const file of sources.keys()) if (!done.has(file)) visit(file);
  return found;
}
