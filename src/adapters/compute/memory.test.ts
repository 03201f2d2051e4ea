import { describe, expect, it } from "vitest";
import { launchRequest, providerIdOf } from "../../../test/conformance/compute.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryCompute, type MemoryComputeOptions } from "./memory.ts";

describe("pools", () => {
  it("are tried in their order, without those that are to be avoided", async () => {
    const { compute } = memory({ pools: ["one", "two", "three"] });
    compute.refuseNext("two", [{ failure: "capacity", code: "NO_ROOM" }]);
    const [outcome] = await compute.launch(launchRequest(["machine-1"], { avoidPools: ["one"] }));
    expect(outcome).toMatchObject({ kind: "launched", pool: "three" });
  });

  it("that all refuse are named in the outcome, with the last reason", async () => {
    const { compute } = memory({ pools: ["one", "two"] });
    compute.refuseNext("one", [{ failure: "capacity", code: "NO_ROOM" }]);
    compute.refuseNext("two", [{ failure: "quota", code: "VCPU_LIMIT" }]);
    const [first] = await compute.launch(launchRequest(["machine-1"]));
    expect(first).toMatchObject({
      kind: "refused",
      failure: "quota",
      code: "VCPU_LIMIT",
      pools: ["one", "two"],
    });
    const [second] = await compute.launch(launchRequest(["machine-1"]));
    expect(second).toMatchObject({ kind: "launched", pool: "one" });
  });
});

describe("levers", () => {
  it("a lost answer leaves a machine that the repetition finds", async () => {
    const { compute } = memory();
    compute.loseAnswers(1);
    await expect(compute.launch(launchRequest(["machine-1"]))).rejects.toMatchObject({ kind: "retry" });
    expect(await compute.list()).toHaveLength(1);
    expect((await compute.launch(launchRequest(["machine-1"])))[0]?.kind).toBe("launched");
    expect(compute.launchCount).toBe(1);
  });

  it("a call that fails does nothing", async () => {
    const { compute } = memory();
    compute.failCalls(1);
    await expect(compute.launch(launchRequest(["machine-1"]))).rejects.toMatchObject({ kind: "retry" });
    expect(await compute.list()).toEqual([]);
  });

  it("a machine can be missing from listings, by the delay of the place or for a while", async () => {
    const { compute, clock } = memory({ listingDelaySeconds: 5 });
    const providerId = providerIdOf((await compute.launch(launchRequest(["machine-1"])))[0]);
    expect(await compute.list()).toEqual([]);
    await clock.advance(5_000);
    expect(await compute.list()).toHaveLength(1);
    compute.hide(providerId, clock.now() + 1_000);
    expect(await compute.list()).toEqual([]);
    expect((await compute.terminate([providerId]))[0]?.kind).toBe("terminating");
  });

  it("a machine that ends by itself is gone, and that is told once", async () => {
    const { compute, gone } = memory();
    const providerId = providerIdOf((await compute.launch(launchRequest(["machine-1"])))[0]);
    compute.finish(providerId);
    compute.finish(providerId);
    expect(gone).toEqual([providerId]);
    expect((await compute.terminate([providerId]))[0]?.kind).toBe("absent");
  });
});

it("a termination takes the time that it is given", async () => {
  const { compute, clock, gone } = memory({ terminationSeconds: 30 });
  const providerId = providerIdOf((await compute.launch(launchRequest(["machine-1"])))[0]);
  await compute.terminate([providerId]);
  await clock.advance(29_000);
  expect((await compute.terminate([providerId]))[0]?.kind).toBe("terminating");
  await clock.advance(1_000);
  expect((await compute.terminate([providerId]))[0]?.kind).toBe("absent");
  expect(gone).toEqual([providerId]);
});

function memory(options: Partial<MemoryComputeOptions> = {}) {
  const clock = createManualClock();
  const gone: string[] = [];
  const compute = createMemoryCompute({ clock, onGone: (providerId) => gone.push(providerId), ...options });
  return { compute, clock, gone };
}
