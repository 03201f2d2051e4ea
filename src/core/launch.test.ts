import { describe, expect, it } from "vitest";
import { machine } from "../../test/builders.ts";
import { awaitingMachines, giveInstances, newInstances } from "./launch.ts";
import type { Machine } from "./model.ts";

const of = (launchToken: string, id: string, facts: Partial<Machine> = {}) =>
  machine({ id, launchToken, ...facts });
const retiring = of("a", "retiring", { state: "retiring", reason: "operator" });
const first = of("a", "first");
const second = of("a", "second");
const machines = [
  retiring,
  of("a", "given", { state: "launched", providerId: "i-1" }),
  first,
  of("b", "other"),
  second,
];
const instances = (...ids: readonly string[]) => ids.map((providerId) => ({ providerId }));

/** Which machine got which instance. */
function given(...ids: readonly string[]): readonly (readonly [string, string])[] {
  return giveInstances(machines, "a", instances(...ids)).map(
    ({ machine: { id }, instance }) => [id, instance.providerId] as const,
  );
}

it("machines of a launch wait for an instance until they have one, those that are wanted before those that retire", () => {
  expect(awaitingMachines(machines, "a")).toEqual([first, second, retiring]);
  expect(awaitingMachines(machines, "c")).toEqual([]);
});

it("an instance is new until a machine has it", () => {
  expect(newInstances(machines, instances("i-0", "i-1", "i-2"))).toEqual(instances("i-0", "i-2"));
});

describe("the instances of a launch", () => {
  it("are given to its machines that have none, each to one", () => {
    expect(given("i-0", "i-1", "i-2")).toEqual([
      ["first", "i-0"],
      ["second", "i-2"],
    ]);
  });

  it("that are more than its machines are nobody's", () => {
    expect(given("i-2", "i-3", "i-4", "i-5").map(([id]) => id)).toEqual(["first", "second", "retiring"]);
    expect(giveInstances(machines, "c", instances("i-2"))).toEqual([]);
  });
});
