/**
 * `/docs` in a real browser: Debian's chromium-headless-shell, driven over its own protocol. The page shows every operation, asks for the
 * token when a call is tried, and needs nothing from elsewhere: the browser resolves no name and reaches no address but the controller's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';

const BROWSER = '/usr/bin/chromium-headless-shell';

let lab: Lab;
let browser: Browser;
let origin: string;
/** `method path` of every operation that the description has */
let operations: readonly string[];

beforeAll(async () => {
  if (!existsSync(BROWSER))
    throw new Error(`there is no ${BROWSER}: npm test installs the Debian package of this name`);
  lab = await startLab({ nodes: 0 });
  origin = new URL(lab.controllers[0]?.url ?? '').origin;
  const { body } = await lab.rest<{ paths: Record<string, Record<string, unknown>> }>('GET', '/openapi.json');
  operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  browser = await chromium.launch({
    executablePath: BROWSER,
    // Root has no sandbox. No name and no other address is an answer to it.
    args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
});
afterAll(async () => {
  await browser?.close();
  await lab?.close();
});

interface Visit {
  readonly page: Page;
  /** what the console shows as an error, and what no script caught */
  readonly errors: string[];
  /** origins of all that the page asked for */
  readonly origins: ReadonlySet<string>;
  /** questions that the page asked */
  readonly questions: readonly string[];
  /** the answer to the next question; undefined: none is given */
  answer: string | undefined;
}

/** The page in a browser that was never there before. */
async function visit(): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1600 } });
  onTestFinished(() => context.close());
  // Ends what hangs: a busy machine takes its time over a page.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const errors: string[] = [];
  const origins = new Set<string>();
  const questions: string[] = [];
  const visit: Visit = { page, errors, origins, questions, answer: undefined };
  page.on('console', (message) => void (message.type() === 'error' && errors.push(message.text())));
  page.on('pageerror', (error) => errors.push(String(error)));
  context.on('request', (request) => origins.add(new URL(request.url()).origin));
  page.on('dialog', async (dialog) => {
    questions.push(dialog.message());
    if (visit.answer === undefined) await dialog.dismiss();
    else await dialog.accept(visit.answer);
  });
  await page.goto(`${origin}/docs`);
  await page.locator('.opblock').first().waitFor();
  return visit;
}

/** Leaves a picture of the page, or of a part of it, in the folder that API_PAGE_PICTURES names, to be looked at. */
async function picture(of: Page | Locator, name: string): Promise<void> {
  const folder = process.env.API_PAGE_PICTURES;
  if (folder !== undefined) await of.screenshot({ path: join(folder, `${name}.png`) });
}

/** The list of tenants, opened to be tried. */
async function openTenants(page: Page): Promise<Locator> {
  const operation = page.locator('#operations-tenants-listTenants');
  await operation.locator('.opblock-summary-control').click();
  await operation.getByRole('button', { name: 'Try it out' }).click();
  return operation;
}

/** Tries the call. @returns the status and the body that the page shows */
async function tryIt(page: Page, operation: Locator): Promise<readonly [status: string, body: string]> {
  const answered = page.waitForResponse((response) => response.url().startsWith(`${origin}/v1/tenants`));
  await operation.getByRole('button', { name: 'Execute' }).click();
  const status = String((await answered).status());
  const shown = operation.locator('.live-responses-table .response');
  await shown.locator('.response-col_status', { hasText: status }).waitFor();
  return [status, (await shown.locator('.highlight-code code').first().textContent()) ?? ''];
}

test('shows every operation, without the token, an error or a request to elsewhere', async () => {
  const { page, errors, origins, questions } = await visit();
  await picture(page, 'page');
  const shown = await page.locator('.opblock-summary').evaluateAll((rows) =>
    rows.map((row) => {
      const method = row.querySelector('.opblock-summary-method')?.textContent;
      return `${method} ${row.querySelector('.opblock-summary-path')?.getAttribute('data-path')}`;
    }),
  );
  expect(shown.toSorted()).toEqual([...operations].sort());
  expect(shown.length).toBeGreaterThan(30);
  await expect.poll(() => page.locator('.info .title').textContent()).toContain('Tenet');
  expect(await page.locator('.errors-wrapper, .loading-container .failed-config').count()).toBe(0);
  expect({ errors, origins: [...origins], questions }).toEqual({ errors: [], origins: [origin], questions: [] });
});

test('asks for the token at a call, shows 401 without one and 200 with it, and asks no more', async () => {
  const visited = await visit();
  const { page, errors, origins, questions } = visited;
  const operation = await openTenants(page);
  const [refused, problem] = await tryIt(page, operation);
  await picture(operation, 'refused');
  expect([refused, JSON.parse(problem)]).toMatchObject(['401', { code: 'unauthorized' }]);
  expect(questions).toHaveLength(1);
  // The browser itself tells of the refusal.
  expect(errors.splice(0)).toEqual([expect.stringContaining('401')]);

  visited.answer = lab.token;
  const [allowed, list] = await tryIt(page, operation);
  await picture(operation, 'allowed');
  expect([allowed, JSON.parse(list)]).toMatchObject(['200', { items: [{ name: 'system' }] }]);
  expect(questions).toHaveLength(2);
  expect((await tryIt(page, operation))[0]).toBe('200');
  expect(questions).toHaveLength(2);
  expect({ errors, origins: [...origins] }).toEqual({ errors: [], origins: [origin] });
});

test('takes the token from its form, too, and does not ask for it then', async () => {
  const { page, errors, questions } = await visit();
  await page.locator('.auth-wrapper .authorize').click();
  await page.locator('.auth-container input').fill(lab.token);
  await page.locator('.auth-btn-wrapper .authorize').click();
  await page.locator('.auth-btn-wrapper .btn-done').click();
  const [status] = await tryIt(page, await openTenants(page));
  expect({ status, errors, questions }).toEqual({ status: '200', errors: [], questions: [] });
});
