import { expect, test } from "vitest";
import { machine, policy, start } from "../../test/builders.ts";
import { statusDocument } from "./status.ts";

const minute = 60_000;

test("the last hour shows how many machines were alive at once, not how many passed by", () => {
  const now = Math.floor(start / minute) * minute + 30_000;
  const oneAfterAnother = Array.from({ length: 5 }, (_, index) =>
    machine({
      id: `m-${index}`,
      state: "ended",
      times: { requested: now - 5_000 + index * 1_000, ended: now - 4_000 + index * 1_000 },
    }),
  );
  const long = machine({ id: "long", state: "busy", times: { requested: now - 90 * minute } });
  const { lastHour } = statusDocument({
    version: "0",
    now,
    policy: policy(),
    ledgers: [{ fleet: "fleet-a", version: 1, record: undefined, jobs: [], machines: [long] }],
    history: { jobs: [], machines: oneAfterAnother },
    budgets: [],
    problems: [],
    listLimit: 10,
  });
  expect(lastHour).toHaveLength(60);
  expect(lastHour.at(-1)?.machines).toBe(2);
  expect(lastHour.slice(0, -1).every((entry) => entry.machines === 1)).toBe(true);
});
