/** JUnit's XML, as continuous integration servers read it. Pure. */

export interface JunitCase {
  /** `family/what-it-shows` */
  readonly name: string;
  readonly seconds: number;
  /** empty: passed */
  readonly failure: string;
}

/** One suite for each family. */
export function formatJunit(cases: readonly JunitCase[]): string {
  const families = new Map<string, JunitCase[]>();
  for (const each of cases) {
    const [family = ''] = each.name.split('/');
    families.set(family, [...(families.get(family) ?? []), each]);
  }
  const suites = [...families].map(([family, members]) => formatSuite(family, members));
  const head = `<testsuites name="conformance"${counts(cases)}>`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...suites, '</testsuites>', ''].join('\n');
}

function formatSuite(family: string, cases: readonly JunitCase[]): string {
  return [`  <testsuite name="${escapeXml(family)}"${counts(cases)}>`, ...cases.map(formatCase), '  </testsuite>'].join(
    '\n',
  );
}

function counts(cases: readonly JunitCase[]): string {
  const failures = cases.filter(({ failure }) => failure !== '').length;
  const seconds = cases.reduce((sum, each) => sum + each.seconds, 0);
  return ` tests="${cases.length}" failures="${failures}" errors="0" time="${seconds.toFixed(3)}"`;
}

function formatCase({ name, seconds, failure }: JunitCase): string {
  const [family = ''] = name.split('/');
  const head = `    <testcase classname="conformance.${escapeXml(family)}" name="${escapeXml(name)}" time="${seconds.toFixed(3)}"`;
  if (failure === '') return `${head}/>`;
  const [first = ''] = failure.split('\n');
  return `${head}><failure message="${escapeXml(first)}">${escapeXml(failure)}</failure></testcase>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** For text and attribute values. What XML has no way to say is left out. @see XML 1.0, section 2.2 */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  const unspeakable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;
  return text
    .replace(unspeakable, '')
    .replace(/[&<>"']/g, (found) => ENTITIES[found] ?? '')
    .replace(/\n/g, '&#10;');
}
