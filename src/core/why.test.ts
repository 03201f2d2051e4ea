import { expect, test } from "vitest";
import { fleetRecord, job, machine, policy, start } from "../../test/builders.ts";
import { whyDocument } from "./why.ts";

const ledger = { fleet: "linux-x64", version: 1, record: fleetRecord(), jobs: [], machines: [] };

test("steps stand in the order in which they happened, though GitHub tells only whole seconds", () => {
  const done = job({
    fleet: "linux-x64",
    state: "done",
    machineId: "m-1",
    runnerName: "m-1",
    outcome: { kind: "completed", conclusion: "success" },
    times: {
      created: start,
      received: start + 300,
      planned: start + 310,
      launched: start + 320,
      running: start + 1_500,
      claimed: start + 1_900,
      started: start + 1_000,
      completed: start + 3_000,
    },
  });
  const { steps } = whyDocument(done, ledger, [], policy(), start + 10_000);
  expect(steps.map((step) => step.what)).toEqual([
    "GitHub created the job",
    "Mayfly heard of it",
    "it was counted as demand of fleet linux-x64",
    "a machine was asked for, or was there already",
    "machine m-1 was running",
    "machine m-1 claimed the job",
    "the job started on m-1",
    "the job ended: success",
  ]);
  expect(steps.every((step) => step.afterSeconds >= 0)).toBe(true);
});

test("a machine that claimed the job and was lost is one of its steps, at its time", () => {
  const lost = machine({
    id: "m-1",
    state: "ended",
    reason: "lost",
    detail: "The provider no longer lists it.",
    times: { requested: start, retiring: start + 60_000, ended: start + 61_000 },
  });
  const queued = job({
    state: "queued",
    machineId: "m-1",
    times: { created: start, received: start, planned: start, launched: start, claimed: start + 5_000 },
  });
  const { steps } = whyDocument(queued, ledger, [lost], policy(), start + 90_000);
  expect(steps.at(-1)).toMatchObject({
    what: "machine m-1 retired: lost. The provider no longer lists it.",
    afterSeconds: 55,
  });
});
