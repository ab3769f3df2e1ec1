/** The loop: one pass for many requests, trust in its own work, read-back after doubt, back-off while refused. */
import { describe, expect, it } from 'vitest';
import { NotInSync, type Pass, Reconciler } from '../../../../cni-plugin/agent/reconcile/loop.ts';
import type { Change } from '../../../../dataplane/diff.ts';
import { ERRNO, KernelError } from '../../../../dataplane/errors.ts';
import { type Item, itemKey, type NodeState } from '../../../../dataplane/state.ts';

const one: Item = { kind: 'element', collection: 'internet', fields: ['tnpaaaaaaaaaaaa'] };
const two: Item = { kind: 'element', collection: 'internet', fields: ['tnpbbbbbbbbbbbb'] };
const stateOf = (...items: Item[]): NodeState => new Map(items.map((item) => [itemKey(item), item]));

function kernel() {
  const world = {
    desired: stateOf(one) as NodeState | undefined,
    actual: stateOf() as NodeState,
    observed: 0,
    applied: [] as (readonly Change[])[],
    failNext: undefined as unknown,
    failItem: undefined as string | undefined,
    passes: [] as Pass[],
    delays: [] as number[],
    retry: undefined as (() => void) | undefined,
  };
  const reconciler = new Reconciler({
    desired: () => world.desired && { state: world.desired, changed: 'all' },
    observe: () => {
      world.observed++;
      return world.actual;
    },
    apply: (changes, desired) => {
      world.applied.push(changes);
      const error = world.failNext;
      world.failNext = undefined;
      if (error !== undefined) throw error;
      world.actual = desired;
      return world.failItem === undefined ? new Map() : new Map([[world.failItem, new Error('no')]]);
    },
    onPass: (pass) => world.passes.push(pass),
    later: (ms, run) => {
      world.delays.push(ms);
      world.retry = run;
      return () => {
        world.retry = undefined;
      };
    },
  });
  return { world, reconciler };
}

describe('reconciler', () => {
  it('makes one pass of many requests and reads the kernel once', async () => {
    const { world, reconciler } = kernel();
    await Promise.all([reconciler.settle(), reconciler.settle(), reconciler.settle()]);
    world.desired = stateOf(one, two);
    await reconciler.settle();
    expect(world.observed).toBe(1);
    expect(world.applied.map((changes) => changes.map(({ item }) => itemKey(item)))).toEqual([
      [itemKey(one)],
      [itemKey(two)],
    ]);
  });

  it('writes nothing while the state wanted is unknown', async () => {
    const { world, reconciler } = kernel();
    world.desired = undefined;
    await expect(reconciler.settle()).rejects.toBeInstanceOf(NotInSync);
    expect(world.observed).toBe(0);
  });

  it('puts a foreign change right after reading back', async () => {
    const { world, reconciler } = kernel();
    await reconciler.settle();
    world.actual = stateOf(two);
    reconciler.distrust();
    await reconciler.settle();
    expect([...world.actual.keys()]).toEqual([itemKey(one)]);
    expect(world.observed).toBe(2);
  });

  it('tells who waits that the transaction was refused, backs off, reads back and tries again', async () => {
    const { world, reconciler } = kernel();
    world.failNext = new KernelError('NFT_MSG_NEWSETELEM', 'element', ERRNO.ENOBUFS);
    await expect(reconciler.settle()).rejects.toThrow('ENOBUFS');
    world.failNext = new KernelError('NFT_MSG_NEWSETELEM', 'element', ERRNO.ERESTART);
    world.retry?.();
    await expect(reconciler.settle()).rejects.toThrow('ERESTART');
    await reconciler.settle();
    expect(world.delays).toEqual([20, 40]);
    expect(world.observed).toBe(3);
    expect([...world.actual.keys()]).toEqual([itemKey(one)]);
  });

  it('reports what failed and goes on wanting it', async () => {
    const { world, reconciler } = kernel();
    world.failItem = itemKey(one);
    expect([...(await reconciler.settle()).keys()]).toEqual([itemKey(one)]);
    world.failItem = undefined;
    world.actual = stateOf();
    world.retry?.();
    expect((await reconciler.settle()).size).toBe(0);
    expect([...world.actual.keys()]).toEqual([itemKey(one)]);
  });

  it('survives a state that cannot be computed, and tries again', async () => {
    const { world, reconciler } = kernel();
    Object.defineProperty(world, 'desired', {
      get: () => {
        throw new TypeError('garbage');
      },
      configurable: true,
    });
    await expect(reconciler.settle()).rejects.toThrow('garbage');
    Object.defineProperty(world, 'desired', { value: stateOf(one), writable: true });
    world.retry?.();
    await reconciler.settle();
    expect([...world.actual.keys()]).toEqual([itemKey(one)]);
  });

  it('lets no caller wait for ever once closed', async () => {
    const { reconciler } = kernel();
    const waiting = reconciler.settle();
    reconciler.close();
    await expect(waiting).rejects.toBeInstanceOf(NotInSync);
  });
});
