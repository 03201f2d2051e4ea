import type { Job, Ledger, Machine } from "../src/core/model.ts";
import { plan } from "../src/core/scaleup.ts";
import { fleetRecord, job, machine, policy, preset, repository, start } from "../test/builders.ts";
import { type Measure, median, number } from "./measure.ts";

const sizes = [100, 1_000, 10_000] as const;
const millisecondsPerSize = 2_000;

interface Shape {
  readonly name: string;
  machine(index: number): Machine;
}

/** The shapes that take the planner through all of its parts. */
const shapes: readonly Shape[] = [
  { name: "unclaimed machines", machine: (index) => machine({ id: `mayfly-${index}`, state: "launched" }) },
  { name: "registered, same labels", machine: (index) => registered(index, labels) },
  { name: "registered, more labels", machine: (index) => registered(index, [...labels, "extra"]) },
  { name: "registered, 100 other repositories", machine: (index) => elsewhere(index) },
];
const labels = ["self-hosted", "linux", "x64"];

/** One `plan` of a fleet with as many machines as queued jobs, which come from ten repositories. */
export const planning: Measure = {
  name: "plan",
  title: "Plan: as many machines as queued jobs in one fleet",
  async run(progress) {
    const values: Record<string, unknown>[] = [];
    const rows = shapes.map((shape) => {
      const medians = sizes.map((size) => medianMilliseconds(ledgerOf(size, shape)));
      progress(`${shape.name}: ${medians.map(number).join(", ")} ms`);
      const growth = (medians.at(-1) ?? 0) / (medians[0] ?? 1);
      values.push({ shape: shape.name, milliseconds: medians, growth });
      return [shape.name, ...medians.map(number), number(growth)];
    });
    return {
      tables: [{ columns: ["machines", ...sizes.map((size) => `${number(size)} ms`), "growth"], rows }],
      notes: ["Growth is from 100 to 10,000: 100 is linear."],
      values: { sizes, results: values },
    };
  },
};

function ledgerOf(size: number, shape: Shape): Ledger {
  const indexes = Array.from({ length: size }, (_, index) => index);
  return {
    fleet: "fleet-a",
    version: 1,
    record: fleetRecord(),
    jobs: indexes.map((index): Job => {
      // Not in order, as after a while of adding and ending.
      const created = start - ((index * 7_919) % size);
      return job({
        id: index + 1,
        repository: repository({ name: `app-${index % 10}` }),
        times: { created },
      });
    }),
    machines: indexes.map((index) => shape.machine(index)),
  };
}

function registered(index: number, offered: readonly string[]): Machine {
  const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
  return machine({
    id: `mayfly-${index}`,
    state: "registered",
    binding: { jobId: index + 1, repository: `acme/app-${index % 10}`, scope, labels: offered },
    registration: { runnerId: index + 1, scope },
    times: { claimed: start + index, registered: start + index },
  });
}

/** Registered for a repository that has no job any more. */
function elsewhere(index: number): Machine {
  const name = `gone-${index % 100}`;
  const scope = { kind: "repository", installationId: 7, owner: "acme", name } as const;
  return { ...registered(index, labels), binding: { jobId: -1, repository: `acme/${name}`, scope, labels } };
}

function medianMilliseconds(ledger: Ledger): number {
  const limits = { machines: 1_000_000, perRepository: 1_000_000 };
  const rules = policy({ limits, presets: [preset({ max: 1_000_000 })] });
  const context = { counters: {}, spentTodayUsd: 0 };
  const took: number[] = [];
  const until = performance.now() + millisecondsPerSize;
  while (performance.now() < until || took.length < 5) {
    const begun = performance.now();
    plan(ledger, rules, context, start + 1_000);
    took.push(performance.now() - begun);
  }
  return median(took);
}
