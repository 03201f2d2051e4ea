import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { machine, start } from "../../test/builders.ts";
import {
  fateOf,
  type ImageTrial,
  type MachineFate,
  toWatch,
  trialAfter,
  verdictOf,
  type WatchedMachine,
} from "./image-trial.ts";
import type { Machine } from "./model.ts";

type Watched = Pick<WatchedMachine, "isNew" | "worked">;

const trialOf = (...machines: readonly Watched[]): ImageTrial => ({
  tag: "t",
  reference: "built:t",
  recipe: "r",
  builtAt: start,
  machines: machines.map((one, index) => ({ id: `m-${index}`, since: start, ...one })),
});
const own = (worked: boolean) => ({ isNew: true, worked });
const other = (worked: boolean) => ({ isNew: false, worked });

describe("the fate of a machine by which a new image is judged", () => {
  const fate = (facts: Parameters<typeof machine>[0], now = start) =>
    fateOf(machine(facts), { since: start }, now);

  it.each<[string, Parameters<typeof machine>[0], MachineFate | undefined]>([
    ["is open while it boots", { state: "launched" }, undefined],
    ["is open while it is registered and was not seen", { state: "registered" }, undefined],
    ["is good when its runner listens", { state: "registered", times: { online: start } }, "worked"],
    ["is good when it ran a job that nobody told of", { state: "busy", times: { started: start } }, "worked"],
    ["is good when GitHub gave it a job", { state: "busy", jobId: 1 }, "worked"],
    ["is bad when it never claimed", { state: "retiring", reason: "boot-timeout" }, "failed"],
    ["is bad when it ended by itself before", { state: "ended", reason: "lost" }, "failed"],
    [
      "says nothing when it was taken back",
      { state: "ended", reason: "lost", interruptedAt: start },
      "unclear",
    ],
    ["says nothing when it was never launched", { state: "ended", reason: "launch-failed" }, "unclear"],
    ["says nothing when nobody needed it", { state: "retiring", reason: "surplus" }, "unclear"],
  ])("%s", (_, facts, expected) => {
    expect(fate(facts as Partial<Machine>)).toBe(expected);
  });

  it("says nothing when it does not exist two minutes after it was noted", () => {
    expect(fateOf(undefined, { since: start }, start + 119_999)).toBeUndefined();
    expect(fateOf(undefined, { since: start }, start + 120_000)).toBe("unclear");
  });
});

describe("a new image", () => {
  it("is trusted after three machines that worked, when they are more than those that did not", () => {
    expect(verdictOf(trialOf(own(true), own(true)))).toBeUndefined();
    expect(verdictOf(trialOf(own(true), own(true), own(true), own(false)))).toBe("trusted");
    expect(verdictOf(trialOf(other(true), other(true), other(true)))).toBeUndefined();
    const asMany = [own(true), own(true), own(true), own(false), own(false), own(false)];
    expect(verdictOf(trialOf(...asMany))).toBeUndefined();
  });

  it("is broken after three machines that did not work, when those of the other image did", () => {
    const failures = [own(false), own(false), own(false)];
    expect(verdictOf(trialOf(own(false), own(false), other(true)))).toBeUndefined();
    expect(verdictOf(trialOf(...failures))).toBe("broken");
    expect(verdictOf(trialOf(...failures, other(true), other(false)))).toBe("broken");
  });

  it("is not to blame for what breaks the machines of both images", () => {
    const failures = [own(false), own(false), own(false), other(false), other(false)];
    expect(verdictOf(trialOf(...failures))).toBeUndefined();
    expect(verdictOf(trialOf(...failures, other(true)))).toBe("broken");
  });

  it("has one machine at a time, and the next when one of the other image is known", () => {
    const next = (...machines: readonly Watched[]) => toWatch(trialOf(...machines)).map(({ isNew }) => isNew);
    expect(next()).toEqual([true, false]);
    expect(next({ isNew: true })).toEqual([false]);
    expect(next({ isNew: true }, { isNew: false })).toEqual([]);
    expect(next(own(true), { isNew: false })).toEqual([]);
    expect(next(own(false))).toEqual([false]);
    expect(next(other(true), { isNew: true })).toEqual([]);
    expect(next(own(false), other(true))).toEqual([true, false]);
  });

  it("forgets machines that say nothing, and what is known once stays", () => {
    const trial = trialOf({ isNew: true }, { isNew: false }, own(true));
    const fates = new Map<string, MachineFate>([
      ["m-0", "unclear"],
      ["m-1", "failed"],
      ["m-2", "failed"],
    ]);
    expect(trialAfter(trial, fates).machines).toEqual([
      { id: "m-1", since: start, isNew: false, worked: false },
      { id: "m-2", since: start, isNew: true, worked: true },
    ]);
  });

  test("of which no machine works costs three beside one that works, and is never trusted", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 20, maxLength: 60 }), (launchedIsNewFirst) => {
        let trial = trialOf();
        let launched = 0;
        for (const [index, newFirst] of launchedIsNewFirst.entries()) {
          const [first] = toWatch(trial).toSorted((one) => (one.isNew === newFirst ? -1 : 1));
          if (first === undefined) continue;
          if (first.isNew) launched += 1;
          const id = `w-${index}`;
          const machines = [...trial.machines, { id, since: start, isNew: first.isNew }];
          trial = trialAfter({ ...trial, machines }, new Map([[id, first.isNew ? "failed" : "worked"]]));
          if (verdictOf(trial) !== undefined) break;
        }
        expect(verdictOf(trial)).toBe("broken");
        expect(launched).toBe(3);
      }),
    );
  });
});
