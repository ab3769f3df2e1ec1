/**
 * What one run of vitest leaves for .ci/run: every test with its project, and every failure outside of tests. Written when the run
 * starts and again when it ends, so that a run that was cut short can be told from one that was not. Also reads all that a test command has
 * left. Judges nothing.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reporter, TestCase, TestModule, TestRunEndReason, TestSuite, Vitest } from 'vitest/node';

export interface TestRecord {
  /** titles from the outermost `describe` to the test's own */
  readonly name: readonly string[];
  readonly status: 'passed' | 'failed' | 'skipped' | 'pending';
  /** stack traces */
  readonly errors: readonly string[];
}

export interface FileRecord {
  readonly project: string;
  /** relative to the checkout */
  readonly file: string;
  /** of the import and of hooks around several tests */
  readonly errors: readonly string[];
  readonly tests: readonly TestRecord[];
}

export interface RunRecord {
  /** $TEST_PART of the run, empty if it had none @see each.sh */
  readonly part: string;
  /** absent: cut short */
  readonly ended?: TestRunEndReason;
  /** of no file in particular; vitest fails a run for each of them */
  readonly unhandledErrors: readonly string[];
  readonly files: readonly FileRecord[];
}

interface VitestError {
  readonly message: string;
  readonly stack?: string | undefined;
}

/** Leaves the run's record in `directory`, under a name of its own. */
export class RunReport implements Reporter {
  readonly #directory: string;
  #root = '';

  constructor(directory: string) {
    this.#directory = directory;
  }

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
    this.#write({ unhandledErrors: [], files: [] });
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly VitestError[], ended: TestRunEndReason): void {
    this.#write({ ended, unhandledErrors: errors.map(textOf), files: modules.map((each) => this.#describe(each)) });
  }

  #describe(module: TestModule): FileRecord {
    const suites = [module, ...module.children.allSuites()];
    return {
      project: module.project.name,
      file: relative(this.#root, module.moduleId),
      errors: suites.flatMap((suite) => suite.errors().map(textOf)),
      tests: [...module.children.allTests()].map((test) => {
        const { state, errors } = test.result();
        return { name: titlesOf(test), status: state, errors: (errors ?? []).map(textOf) };
      }),
    };
  }

  #write(record: Omit<RunRecord, 'part'>): void {
    const part = process.env.TEST_PART ?? '';
    mkdirSync(this.#directory, { recursive: true });
    writeFileSync(join(this.#directory, `run-${process.pid}.json`), JSON.stringify({ part, ...record }));
  }
}

export interface PartRecord {
  /** exit status of the command */
  readonly status: number;
  /** the command, behind those it is part of @see each.sh */
  readonly part: string;
}

export interface Reports {
  readonly runs: readonly RunRecord[];
  readonly parts: readonly PartRecord[];
  /** a sentence about each report that cannot be read */
  readonly unreadable: readonly string[];
}

export function readReports(directory: string): Reports {
  const runs: RunRecord[] = [];
  const unreadable: string[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (!/^run-\d+\.json$/.test(name)) continue;
    try {
      const run: RunRecord = JSON.parse(readFileSync(join(directory, name), 'utf8'));
      if (!Array.isArray(run.files)) throw new Error('it has no list of files');
      runs.push(run);
    } catch (error) {
      unreadable.push(`the report ${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { runs, unreadable, parts: readParts(join(directory, 'parts')) };
}

/** @returns nothing if no command was begun */
function readParts(file: string): readonly PartRecord[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [status = '', part = ''] = line.split('\t');
    return { status: Number(status), part };
  });
}

function titlesOf({ name, parent }: TestCase | TestSuite): readonly string[] {
  return parent.type === 'module' ? [name] : [...titlesOf(parent), name];
}

function textOf({ stack, message }: VitestError): string {
  return stack?.includes(message) ? stack : message;
}
