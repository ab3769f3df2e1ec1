/**
 * A tenant is deleted while its containers start: either they start and it stays, or it goes and they are refused.
 * Afterwards no endpoint is
 * without its tenant, and no claim, block or address is lost.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CniFailure, type Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import {
  contradictions,
  endpointsOf,
  etcdDump,
  journalledBlocks,
  makeTenant,
  type TenantView,
  untilNothingLeft,
} from './support/cluster.ts';

const NODES = ['node1', 'node2'];

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
});
afterAll(() => lab?.close());

const deletion = (tenant: string) => lab.rest<{ nodes?: string[] }>('DELETE', `/v1/tenants/${tenant}`);

/** Resolves once the tenant is gone, with all that was its own. */
async function untilGone(tenant: TenantView): Promise<void> {
  await waitFor(async () => (await lab.rest('GET', `/v1/tenants/${tenant.name}`)).status === 404, {
    what: `tenant ${tenant.name} is gone`,
  });
  const mentions = async (isMeant: (key: string) => boolean) =>
    [...(await etcdDump(lab))].filter((entry) => isMeant(entry[0]) && JSON.stringify(entry).includes(tenant.name));
  const isNodesWord = (key: string) => key.startsWith('enforced/') || key.startsWith('traffic/');
  expect(await mentions((key) => !isNodesWord(key))).toEqual([]);
  // What a node said last of the tenant binds no other node, and is said anew as soon as it has heard.
  await waitFor(async () => (await mentions(() => true)).length === 0, { what: `no node speaks of ${tenant.name}` });
  for (const node of NODES) expect(journalledBlocks(lab, node, tenant.name)).toEqual([]);
}

function within(ms: number): () => boolean {
  const end = performance.now() + ms;
  return () => performance.now() > end;
}

/** DELETE again and again until the tenant is gone or `isOver`. @returns what was answered, each kind once */
async function deleteAgainAndAgain(tenant: string, isOver: () => boolean): Promise<ReadonlySet<number>> {
  const answers = new Set<number>();
  do {
    const { status } = await deletion(tenant);
    answers.add(status);
    if (status === 204 || status === 404) break;
  } while (!isOver());
  return answers;
}

/** Starts containers one after the other on a node, until one is refused. @returns those that run, and the refusal */
async function startUntilRefused(
  node: string,
  tenant: string,
  most: number,
): Promise<readonly (Container | CniFailure)[]> {
  const results: (Container | CniFailure)[] = [];
  while (results.length < most) {
    const result = await lab.attach(node, { tenant }).catch((error: unknown) => error);
    if (result instanceof CniFailure) return [...results, result];
    if (result instanceof Error) throw result;
    results.push(result as Container);
  }
  return results;
}

test.each([0, 20, 40, 60, 80, 100, 130, 160])('DELETE in a loop, begun %i ms into the ADDs', async (delayMs) => {
  const tenant = await makeTenant(lab, `brief${delayMs}`);
  let isOver = false;
  const adding = Promise.all([...NODES, ...NODES].map((node) => startUntilRefused(node, tenant.name, 3))).finally(
    () => {
      isOver = true;
    },
  );
  const begun = performance.now();
  await waitFor(() => performance.now() - begun >= delayMs, { what: 'the moment', everyMs: 1 });
  const answers = await deleteAgainAndAgain(tenant.name, () => isOver);
  const results = (await adding).flat();
  const running = results.filter((each): each is Container => !(each instanceof CniFailure));
  const refusals = results.filter((each) => each instanceof CniFailure);
  for (const { code, message } of refusals) {
    expect([7, 11], message).toContain(code);
    expect(message).toContain(tenant.name);
  }
  for (const answer of answers) expect([202, 204, 404, 409]).toContain(answer);
  expect(contradictions(await etcdDump(lab))).toEqual([]);

  const { status } = await lab.rest('GET', `/v1/tenants/${tenant.name}`);
  if (running.length > 0) {
    expect(status, 'a tenant with containers').toBe(200);
    expect(await endpointsOf(lab, tenant.name)).toHaveLength(running.length);
    for (const container of running) await lab.check(container);
    expect((await deletion(tenant.name)).status).toBe(409);
  }
  for (const container of running) await lab.detach(container);
  if (status === 200) await untilNothingLeft(lab, tenant);
  await deleteAgainAndAgain(tenant.name, within(60_000));
  await untilGone(tenant);

  // All of it can be had again.
  const heir = await makeTenant(lab, `heir${delayMs}`, { subnets: tenant.subnets });
  const container = await lab.attach('node1', { tenant: heir.name });
  await lab.detach(container);
  await deleteAgainAndAgain(heir.name, within(60_000));
  await untilGone(heir);
});

test('a tenant goes only when a node that is away has given back its block', async () => {
  const tenant = await makeTenant(lab, 'patient');
  await lab.detach(await lab.attach('node2', { tenant: 'patient' }));
  await lab.killAgent('node2', 'SIGKILL');
  const { status, body } = await deletion('patient');
  expect(status).toBe(202);
  expect(body.nodes).toEqual(['node2']);
  const refused = lab.attach('node1', { tenant: 'patient' });
  await expect(refused).rejects.toThrow('being deleted');
  await lab.startAgent('node2');
  await untilGone(tenant);
  expect(contradictions(await etcdDump(lab))).toEqual([]);
});
