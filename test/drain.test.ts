import { expect, it } from "vitest";
import { policy, preset } from "./builders.ts";
import { World } from "./support/world.ts";

it("limits.machines of 0 lets jobs finish, launches nothing, and leaves no machine: docs/guides/tear-down.md", async () => {
  const before = policy({ presets: [preset({ warm: 1 })] });
  const world = new World({ policy: before });
  world.github.queueJob({ runSeconds: 120 });
  await world.runUntil(() => world.anyAgent((agent) => agent.runsAJob));
  world.policy = { ...before, presets: [preset()], limits: { ...before.limits, machines: 0 } };
  const { launchCount } = world.compute;
  // One more than the machine that was kept warm can take.
  for (let count = 0; count < 2; count++) world.github.queueJob({ runSeconds: 5 });
  expect(await world.runUntil(() => world.compute.machines().length === 0, 1_200)).toBe(true);
  await world.run(300);
  expect(world.compute.launchCount).toBe(launchCount);
  expect(world.compute.machines()).toEqual([]);
  // While machines of before are there, they are more than the new limit allows.
  expect(world.violations.filter((line) => !line.startsWith("machines is "))).toEqual([]);
  const jobs = [...world.github.jobs.values()];
  expect(jobs.map(({ conclusion }) => conclusion)).toEqual(["success", "success", undefined]);
});
