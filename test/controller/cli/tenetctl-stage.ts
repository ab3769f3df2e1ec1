/** A controller and tenetctl to call it: what tests of its commands stand on. */
import { expect, onTestFinished } from 'vitest';
import { startController } from './controller.ts';
import { tenetctl } from './tenetctl.ts';

export async function setUp() {
  const controller = await startController();
  onTestFinished(() => controller.close());
  const env = { TENET_SERVER: controller.url, TENET_TOKEN: controller.token };
  const run = (...args: readonly string[]) => tenetctl(args, env);
  const ok = async (...args: readonly string[]) => {
    const { code, out, err } = await run(...args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return out;
  };
  const apply = (manifest: string) => tenetctl(['apply', '-f', '-'], env, manifest);
  const json = async (...args: readonly string[]) => JSON.parse(await ok(...args, '-o', 'json'));
  return { controller, env, run, ok, apply, json };
}
