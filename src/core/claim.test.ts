import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, policy, preset, repository, start } from "../../test/builders.ts";
import { decideClaim, jobClaimedBy } from "./claim.ts";
import { countersOf } from "./counters.ts";
import type { Binding, FleetRecord, Job, Ledger, Machine, MachineState, Policy } from "./model.ts";

const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;

function decide(
  jobs: readonly Job[],
  machines: readonly Machine[],
  rules: Policy = policy(),
  record: FleetRecord | undefined = fleetRecord(),
) {
  const asking = machines[0];
  if (asking === undefined) throw new Error("No machine asks.");
  const ledger: Ledger = { fleet: "fleet-a", version: 1, record, jobs, machines };
  const counters: Record<string, number> = {};
  for (const counter of machines.flatMap(countersOf)) counters[counter] = (counters[counter] ?? 0) + 1;
  return decideClaim(ledger, asking, rules, counters);
}

function launched(id: string, overrides: Partial<Machine> = {}): Machine {
  return machine({ id, state: "launched", providerId: id, ...overrides });
}

function bindingFor(some: Job): Binding {
  const { owner, name } = some.repository;
  return { jobId: some.id, repository: `${owner}/${name}`, scope, labels: some.labels };
}

function jobOf(id: number, name = "app", ageSeconds = 0): Job {
  return job({ id, repository: repository({ name }), times: { created: start - ageSeconds * 1_000 } });
}

describe("a machine that asks what it is for", () => {
  it("is bound to the oldest job that no other machine serves", () => {
    const jobs = [jobOf(1, "app", 5), jobOf(2, "app", 9), jobOf(3, "app", 7)];
    const other = launched("b", { binding: bindingFor(jobs[1]!) });
    expect(decide(jobs, [launched("a"), other])).toMatchObject({
      kind: "bind",
      job: { id: 3 },
      earlier: false,
      binding: { jobId: 3, repository: "acme/app", labels: jobs[2]!.labels, scope },
    });
  });

  it("is registered where the policy says", () => {
    const decision = decide([jobOf(1)], [launched("a")], policy({ registration: "repository" }));
    expect(decision).toMatchObject({
      binding: { scope: { kind: "repository", owner: "acme", name: "app", installationId: 7 } },
    });
  });

  it("is given to the repository that has the fewest machines", () => {
    const served = jobOf(1, "app", 99);
    const jobs = [served, jobOf(2, "app", 50), jobOf(3, "other", 1)];
    const busy = machine({ id: "b", state: "busy", binding: bindingFor(served), jobId: 1 });
    expect(decide(jobs.slice(1), [launched("a"), busy])).toMatchObject({ job: { id: 3 } });
    expect(decide(jobs.slice(1), [launched("a")])).toMatchObject({ job: { id: 2 } });
  });

  it("keeps the job that it claimed before, while that waits", () => {
    const jobs = [jobOf(1, "app", 9), jobOf(2, "other", 5)];
    const again = launched("a", { binding: bindingFor(jobs[1]!) });
    expect(decide(jobs, [again])).toMatchObject({ kind: "bind", job: { id: 2 }, earlier: true });
    expect(decide(jobs.slice(0, 1), [again])).toMatchObject({ kind: "bind", job: { id: 1 }, earlier: true });
  });

  it("waits while its repositories have all their machines, and takes another one's job", () => {
    const rules = policy({ limits: { machines: 9, perRepository: 1 } });
    const busy = machine({ id: "b", state: "busy", binding: bindingFor(jobOf(1)), jobId: 1 });
    expect(decide([jobOf(2)], [launched("a"), busy], rules)).toEqual({
      kind: "wait",
      afterSeconds: 5,
      because: "Every waiting repository has all of its machines.",
    });
    expect(decide([jobOf(2), jobOf(3, "other")], [launched("a"), busy], rules)).toMatchObject({
      job: { id: 3 },
    });
  });

  it("may use the place that it holds itself, from an earlier claim", () => {
    const rules = policy({ limits: { machines: 9, perRepository: 1 } });
    const again = launched("a", { binding: bindingFor(jobOf(1)) });
    expect(decide([jobOf(2)], [again], rules)).toMatchObject({ kind: "bind", job: { id: 2 }, earlier: true });
    const busy = machine({ id: "b", state: "busy", binding: bindingFor(jobOf(3, "other")), jobId: 3 });
    expect(decide([jobOf(2, "other")], [again, busy], rules)).toMatchObject({ kind: "wait" });
  });

  it("shuts down when nothing needs it, unless it is kept warm", () => {
    const warm = policy({ presets: [preset({ warm: 1 })] });
    const shutDown = { kind: "shut-down", because: "No queued job needs it any more." };
    expect(decide([], [launched("a")])).toEqual(shutDown);
    expect(decide([], [launched("a")], warm)).toEqual({
      kind: "wait",
      afterSeconds: 15,
      because: "It is kept warm for the next job.",
    });
    expect(decide([], [launched("a"), launched("b")], warm)).toMatchObject({ kind: "shut-down" });
    const claimed = launched("a", { binding: bindingFor(jobOf(1)) });
    expect(decide([], [claimed], warm)).toMatchObject({ kind: "shut-down" });
  });

  it.each<[string, Machine]>([
    ...(["retiring", "ended", "busy"] as MachineState[]).map((state): [string, Machine] => [
      `is ${state}`,
      machine({ state, reason: "idle" }),
    ]),
    ["was online", machine({ state: "registered", times: { online: start } })],
  ])("is refused when it %s", (_what, asking) => {
    expect(decide([jobOf(1)], [asking])).toMatchObject({
      kind: "refuse",
      because: expect.stringMatching(/\.$/),
    });
  });

  it("is told why it is refused", () => {
    const says = (facts: Partial<Machine>) => decide([], [machine({ state: "retiring", ...facts })]);
    expect(says({ reason: "idle" })).toMatchObject({ because: "The machine is retiring: idle." });
    expect(says({ reason: "idle", detail: "no job" })).toMatchObject({
      because: "The machine is retiring: no job.",
    });
  });
});

it("a claimed job knows its machine and when that was running", () => {
  const claimed = jobClaimedBy(
    job(),
    launched("a", { times: { requested: start + 1, launched: start + 2 } }),
    start + 9,
  );
  expect(claimed).toMatchObject({
    machineId: "a",
    times: { launched: start + 1, running: start + 2, claimed: start + 9 },
  });
});

it("a job keeps since when a machine was asked for; of its machine only what is known", () => {
  const claimed = jobClaimedBy(job({ times: { launched: start } }), machine({ id: "a" }), start + 9);
  expect(claimed).toStrictEqual({
    ...job({ machineId: "a" }),
    times: { ...job().times, launched: start, running: start + 9, claimed: start + 9 },
  });
});
