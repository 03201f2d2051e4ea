import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, start } from "../../test/builders.ts";
import { isQuiet, type MeasuresInput, measuresBetween } from "./measures.ts";
import type { Job, Ledger, Machine, PoolRefusal } from "./model.ts";

const minute = 60_000;

function ledger(
  jobs: readonly Job[],
  machines: readonly Machine[] = [],
  refusals: readonly PoolRefusal[] = [],
) {
  return { fleet: "fleet-a", version: 1, record: fleetRecord({ refusals }), jobs, machines } satisfies Ledger;
}

function measure(changes: Partial<MeasuresInput>) {
  const nothing = { jobs: [], machines: [] };
  return measuresBetween({ ledgers: [], history: nothing, from: start, until: start + minute, ...changes });
}

describe("waits", () => {
  const started = (at: number, id: number): Job =>
    job({ id, state: "running", times: { created: start - 5_000, received: start - 3_000, started: at } });

  it("are those of jobs that started within the span, running or ended, each with GitHub's part", () => {
    const ended = { ...started(start + 1_000, 3), state: "done" as const };
    const measures = measure({
      ledgers: [ledger([started(start - 1, 1), started(start, 2), started(start + minute, 4)])],
      history: { jobs: [ended], machines: [] },
    });
    expect(measures.waitSeconds).toEqual([5, 6]);
    expect(measures.githubSeconds).toEqual([2, 2]);
  });

  it("of one job are in exactly one of the spans that follow one another", () => {
    const ledgers = [ledger([started(start + minute, 1)])];
    const spans = [0, 1, 2].map((index) =>
      measure({ ledgers, from: start + index * minute, until: start + (index + 1) * minute }),
    );
    expect(spans.map(({ waitSeconds }) => waitSeconds.length)).toEqual([0, 1, 0]);
  });
});

it("launches, refusals and ends are counted by their class, what is there by its state", () => {
  const refusal = (kind: PoolRefusal["kind"], pool = "*", at = start): PoolRefusal => ({
    ...{ pool, purchase: "spot", kind, code: "X", message: "", at, until: at + 1, inARow: 1 },
  });
  const measures = measure({
    ledgers: [
      ledger(
        [job({ id: 1 }), job({ id: 2, state: "waiting" })],
        [machine({ state: "busy", times: { launched: start + 5 } }), machine({ id: "b" })],
        [refusal("capacity"), refusal("capacity", "m7i.large/a/spot"), refusal("quota", "*", start - 1)],
      ),
      ledger([job({ id: 3 })], [], [refusal("capacity")]),
    ],
    history: {
      jobs: [
        job({ id: 4, outcome: { kind: "completed", conclusion: "failure" }, times: { completed: start } }),
        job({
          id: 5,
          outcome: { kind: "given-up", because: "operator", detail: "" },
          times: { completed: start },
        }),
      ],
      machines: [
        machine({ id: "c", reason: "interrupted", times: { launched: start + 1, ended: start + 2 } }),
      ],
    },
  });
  expect(measures).toEqual({
    waitSeconds: [],
    githubSeconds: [],
    launches: 2,
    refusals: new Map([["capacity", 2]]),
    machinesEnded: new Map([["interrupted", 1]]),
    jobsEnded: new Map([
      ["failure", 1],
      ["given-up", 1],
    ]),
    jobs: new Map([
      ["queued", 2],
      ["waiting", 1],
    ]),
    machines: new Map([
      ["busy", 1],
      ["requested", 1],
    ]),
  });
});

it("a span in which nothing happened and after which nothing is there is quiet", () => {
  expect(isQuiet(measure({}))).toBe(true);
  expect(isQuiet(measure({ ledgers: [ledger([job()])] }))).toBe(false);
  expect(isQuiet(measure({ ledgers: [ledger([], [machine()])] }))).toBe(false);
  const launched = machine({ times: { launched: start, ended: start + minute } });
  expect(isQuiet(measure({ history: { jobs: [], machines: [launched] } }))).toBe(false);
  const began = job({ state: "done", times: { started: start, completed: start + minute } });
  expect(isQuiet(measure({ history: { jobs: [began], machines: [] } }))).toBe(false);
  const ended = machine({ reason: "completed", times: { ended: start } });
  expect(isQuiet(measure({ history: { jobs: [], machines: [ended] } }))).toBe(false);
});

it("what ended outside the span is not counted, nor does a record that lacks something break the rest", () => {
  const times = [start - 1, start + minute];
  const outside = {
    jobs: times.map((completed, id) => job({ id, state: "done", times: { completed } })),
    machines: times.map((ended, index) => machine({ id: `m-${index}`, reason: "idle", times: { ended } })),
  };
  const bare = {
    jobs: [job({ id: 9, state: "done", times: { completed: start } })],
    machines: [machine({ id: "bare", state: "ended", times: { ended: start } })],
  };
  const history = {
    jobs: [...outside.jobs, ...bare.jobs],
    machines: [...outside.machines, ...bare.machines],
  };
  const { jobsEnded, machinesEnded, refusals } = measure({
    history,
    ledgers: [{ ...ledger([]), record: undefined }],
  });
  expect([jobsEnded, machinesEnded, refusals]).toEqual([
    new Map([["unknown", 1]]),
    new Map([["lost", 1]]),
    new Map(),
  ]);
});
