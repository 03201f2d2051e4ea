import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, start } from "../../test/builders.ts";
import { announcementsOf, statesOf } from "./announcement.ts";

const at = start + 5_000;
const none = new Map();

describe("what a commit has others know", () => {
  it("is a job with another state, as the status document has it, and the state until then", () => {
    const known = statesOf({ jobs: [job()], machines: [] });
    const running = job({ state: "running", times: { started: start + 4_000 } });
    expect(announcementsOf([{ put: "job", job: running }], known, at)).toMatchObject([
      { kind: "job", at, before: "queued", job: { id: 1001, state: "running", waitSeconds: 5 } },
    ]);
  });

  it("is a machine with another state, and how old it is by then", () => {
    const known = statesOf({ jobs: [], machines: [machine({ state: "requested" })] });
    const launched = machine({ state: "launched" });
    expect(announcementsOf([{ put: "machine", machine: launched }], known, at)).toMatchObject([
      {
        kind: "machine",
        at,
        before: "requested",
        machine: { id: "mayfly-1", state: "launched", ageSeconds: 5 },
      },
    ]);
  });

  it("is nothing where the state is the same, nor what is only of the fleet", () => {
    const known = statesOf({ jobs: [job()], machines: [machine()] });
    const changes = [
      { put: "job", job: job({ checkedAt: start }) },
      { put: "machine", machine: machine({ launchAttempts: 2 }) },
      { put: "fleet", record: fleetRecord() },
    ] as const;
    expect(announcementsOf(changes, known, at)).toEqual([]);
  });

  it("has no state before where none was known", () => {
    const changes = [
      { put: "job", job: job() },
      { put: "machine", machine: machine() },
    ] as const;
    expect(announcementsOf(changes, none, at).map(({ before }) => before)).toEqual([null, null]);
  });

  it("does not take a job for a machine of the same id", () => {
    const known = statesOf({ jobs: [job({ id: 7 })], machines: [machine({ id: "7", state: "busy" })] });
    const changes = [
      { put: "job", job: job({ id: 7, state: "running" }) },
      { put: "machine", machine: machine({ id: "7", state: "retiring" }) },
    ] as const;
    expect(announcementsOf(changes, known, at).map(({ before }) => before)).toEqual(["queued", "busy"]);
  });
});
