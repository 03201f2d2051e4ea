import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FleetSpec } from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import type { Compute, LaunchOutcome, LaunchRequest, ListedMachine } from "../../src/ports/compute.ts";
import { fleetSpec } from "../builders.ts";

/** What the suite needs of one adapter. Machines that it launches live until they are terminated. */
export interface ComputeHarness {
  /** A new adapter on the same machines: the second one is the server after a restart. */
  open(): Compute;
  /** What a machine bears: its own id, or only the token of its launch. */
  readonly marks: "machine" | "launch";
  /** What this adapter needs of a spec beyond the builder's. */
  readonly spec?: Partial<FleetSpec>;
  /** Whether machines outlive the adapter that launched them. */
  readonly machinesOutliveAdapter: boolean;
  /** Makes the launch of this machine fail, and of no other; of any one, where they are alike. */
  refuse(machineId: string): Promise<void>;
  /** Everything that others can see of the machines: descriptions, labels, names, arguments of processes. */
  seenByOthers(): Promise<string>;
  /** The agent of this machine ends by itself. */
  finish(providerId: string): Promise<void>;
  /** Provider ids of which the adapter has said that they are gone. Absent: it says nothing by itself. */
  readonly gone?: readonly string[];
  close(): Promise<void>;
}

export const hostArchitecture = process.arch === "arm64" ? "arm64" : "x86_64";
export const conformanceCredential = "credential-conformance-0123456789";

/** The contract of the port `compute` (src/ports/compute.ts), for every adapter. */
export function describeCompute(
  name: string,
  makeHarness: () => Promise<ComputeHarness>,
  { skip = false }: { readonly skip?: boolean } = {},
): void {
  describe.skipIf(skip)(`compute ${name}`, () => {
    let harness: ComputeHarness;
    let compute: Compute;
    const request = (machineIds: readonly string[], overrides: Partial<LaunchRequest> = {}) =>
      launchRequest(machineIds, { ...overrides, ...(harness.spec && { spec: specOf(harness.spec) }) });
    beforeEach(async () => {
      harness = await makeHarness();
      compute = harness.open();
    });
    afterEach(async () => {
      await terminateAll(compute);
      await compute.close();
      await harness.close();
    });

    it("launches every machine of a request, and lists each with its marks", async () => {
      const before = Date.now();
      const outcomes = await compute.launch(request(["machine-1", "machine-2"]));
      const own = harness.marks === "machine";
      expect(namesOf(outcomes)).toEqual(own ? ["machine-1", "machine-2"] : [undefined, undefined]);
      const found = await listed(compute);
      expect(found.map((one) => one.providerId).sort()).toEqual(outcomes.map(providerIdOf).sort());
      expect(found.map((one) => (own ? one.machineId : one.launchToken)).sort()).toEqual(
        own ? ["machine-1", "machine-2"] : ["machine-1", "machine-1"],
      );
      for (const one of found) {
        expect(one).toMatchObject({ fleet: "fleet-a", preset: "linux-x64", purchase: "on-demand" });
        expect(Math.abs(one.launchedAt - before)).toBeLessThan(10_000);
      }
    });

    it("launches a machine once, however often and however simultaneously it is asked", async () => {
      const [first, second] = await Promise.all([
        compute.launch(request(["machine-1"])),
        compute.launch(request(["machine-1"])),
      ]);
      const third = await compute.launch(request(["machine-1"], { attempt: 2 }));
      expect(first).toEqual(second);
      expect(first, JSON.stringify(first)).toEqual(third);
      expect(first[0]?.kind).toBe("launched");
      expect(await listed(compute)).toHaveLength(1);
    });

    it("launches the others when one is refused, and says why in the outcome", async () => {
      await harness.refuse("machine-2");
      const outcomes = await compute.launch(request(["machine-1", "machine-2", "machine-3"]));
      const refusals = outcomes.filter((one) => one.kind === "refused");
      expect(refusals).toEqual([expect.objectContaining({ code: expect.stringMatching(/./) })]);
      expect(refusals[0]?.message).toMatch(/^[A-Z"].*\.$/s);
      const launched = outcomes.filter((one) => one.kind === "launched");
      expect((await listed(compute)).map((one) => one.providerId).sort()).toEqual(
        launched.map(providerIdOf).sort(),
      );
      const own = harness.marks === "machine";
      expect(namesOf(launched)).toEqual(own ? ["machine-1", "machine-3"] : [undefined, undefined]);
      expect(refusals[0]?.machineId).toBe(own ? "machine-2" : undefined);
    });

    it("terminates until the machine is absent", async () => {
      const [outcome] = await compute.launch(request(["machine-1"]));
      const providerId = providerIdOf(outcome);
      expect(await compute.terminate([providerId])).toEqual([{ providerId, kind: "terminating" }]);
      await untilAbsent(compute, providerId);
      expect(await listed(compute)).toEqual([]);
      expect(await compute.terminate([providerId])).toEqual([{ providerId, kind: "absent" }]);
      await untilGone(harness, providerId);
    });

    it("takes repeated termination, and names that it never knew", async () => {
      const [outcome] = await compute.launch(request(["machine-1"]));
      const providerId = providerIdOf(outcome);
      const answers = await Promise.all([
        compute.terminate([providerId, "no-such-machine", "../../etc"]),
        compute.terminate([providerId]),
      ]);
      // Whichever comes second may find it gone already.
      const kinds = answers.flat().map((one) => one.kind);
      expect(kinds[0] === "terminating" || kinds[3] === "terminating").toBe(true);
      expect(kinds.slice(1, 3)).toEqual(["absent", "absent"]);
      await untilAbsent(compute, providerId);
    });

    it("leaves the other machines alone", async () => {
      const outcomes = await compute.launch(request(["machine-1", "machine-2"]));
      await compute.terminate([providerIdOf(outcomes[0])]);
      await untilAbsent(compute, providerIdOf(outcomes[0]));
      expect((await listed(compute)).map((one) => one.providerId)).toEqual([providerIdOf(outcomes[1])]);
      await untilGone(harness, providerIdOf(outcomes[0]));
    });

    it("hears of a machine that ends by itself, of which nothing is left then", async () => {
      const [outcome] = await compute.launch(request(["machine-1"]));
      const providerId = providerIdOf(outcome);
      await harness.finish(providerId);
      await untilGone(harness, providerId);
      await until(async () => (await listed(compute)).length === 0);
      expect(await compute.terminate([providerId])).toEqual([{ providerId, kind: "absent" }]);
    });

    it("shows the credential to nobody", async () => {
      await compute.launch(request(["machine-1"]));
      const seen = [await harness.seenByOthers(), JSON.stringify(await listed(compute))].join("\n");
      // A control: what is looked at is the machine.
      expect(seen).toContain("machine-1");
      expect(seen).not.toContain(conformanceCredential);
    });

    it("finds its machines again after a restart, launches none twice and terminates them", async () => {
      if (!harness.machinesOutliveAdapter) return;
      const [outcome] = await compute.launch(request(["machine-1"]));
      const before = await listed(compute);
      await compute.close();
      compute = harness.open();
      expect(await listed(compute)).toEqual(before);
      expect(await compute.launch(request(["machine-1"]))).toEqual([outcome]);
      await compute.terminate([providerIdOf(outcome)]);
      await untilAbsent(compute, providerIdOf(outcome));
      expect(await listed(compute)).toEqual([]);
    });
  });
}

/** What is there: adapters may also list what has ended, for a while. */
async function listed(compute: Compute): Promise<readonly ListedMachine[]> {
  return (await compute.list()).filter((machine) => machine.ended === undefined);
}

/** That it is gone is said once, and of no other. */
async function untilGone({ gone }: ComputeHarness, providerId: string): Promise<void> {
  if (gone === undefined) return;
  await until(() => gone.includes(providerId));
  expect(gone).toEqual([providerId]);
}

function namesOf(outcomes: readonly LaunchOutcome[]): readonly (string | undefined)[] {
  return outcomes.map((one) => (one.kind === "launched" ? one.machineId : one.kind));
}

export function launchRequest(
  machineIds: readonly string[],
  overrides: Partial<LaunchRequest> = {},
): LaunchRequest {
  return {
    fleet: "fleet-a",
    spec: specOf(),
    purchase: "on-demand",
    token: machineIds[0] ?? "",
    attempt: 1,
    machines: machineIds.map((id) => ({ id, credential: new Secret(conformanceCredential) })),
    avoidPools: [],
    jobTimeoutSeconds: 600,
    bootTimeoutSeconds: 60,
    ...overrides,
  };
}

function specOf(overrides: Partial<FleetSpec> = {}): FleetSpec {
  return fleetSpec({ preset: "linux-x64", architecture: hostArchitecture, ...overrides });
}

export function providerIdOf(outcome: LaunchOutcome | undefined): string {
  if (outcome?.kind !== "launched") throw new Error(`not launched: ${JSON.stringify(outcome)}`);
  return outcome.providerId;
}

export async function untilAbsent(compute: Compute, providerId: string): Promise<void> {
  await until(async () => (await compute.terminate([providerId]))[0]?.kind === "absent");
}

export async function until(condition: () => boolean | Promise<boolean>, limitSeconds = 20): Promise<void> {
  const end = performance.now() + limitSeconds * 1_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitSeconds} seconds: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function terminateAll(compute: Compute): Promise<void> {
  for (const { providerId } of await listed(compute)) {
    await compute.terminate([providerId]);
    await untilAbsent(compute, providerId);
  }
}
