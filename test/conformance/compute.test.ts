import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createLocalCompute } from "../../src/adapters/compute/local.ts";
import { createMemoryCompute } from "../../src/adapters/compute/memory.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { createSeededRandom } from "../../src/adapters/random/seeded.ts";
import { SimCloud } from "../../src/targets/sim/cloud.ts";
import { quiet } from "../../src/targets/sim/faults.ts";
import type { Pool } from "../../src/targets/sim/scenario.ts";
import { type Tasks, taskCompute } from "../../src/targets/sim/tasks.ts";
import { runAnswer, startStubControlPlane } from "../support/stub-control-plane.ts";
import { type ComputeHarness, describeCompute } from "./compute.ts";

for (const marks of ["machine", "launch"] as const) {
  describeCompute(`memory, marked by ${marks}`, () => makeMemoryHarness(marks));
}

async function makeMemoryHarness(marks: "machine" | "launch"): Promise<ComputeHarness> {
  const gone: string[] = [];
  const compute = createMemoryCompute({
    clock: createSystemClock(),
    marks,
    pools: ["one", "two"],
    terminationSeconds: 0.05,
    onGone: (providerId) => gone.push(providerId),
  });
  return {
    open: () => compute,
    marks,
    machinesOutliveAdapter: false,
    async refuse() {
      // The second machine of the request: the first is let through.
      const refusal = { failure: "capacity", code: "NO_ROOM" } as const;
      compute.refuseNext("one", [undefined, refusal]);
      compute.refuseNext("two", [refusal]);
    },
    seenByOthers: async () => JSON.stringify(compute.machines()),
    finish: async (providerId) => compute.finish(providerId),
    gone,
    async close() {},
  };
}

for (const marks of ["machine", "launch"] as const) {
  describeCompute(`of the simulator, marked by ${marks}`, () => makeSimHarness(marks));
}
describeCompute("of the simulator, tasks", () => makeSimHarness("launch", tasks));

const tasks: Tasks = {
  boot: { medianSeconds: 30, spread: 0.1 },
  launchBurst: 100,
  launchesPerSecond: 20,
  buildMedianSeconds: 60,
  bases: [],
  brokenBases: [],
  imagesFraction: 0,
  classesFraction: 0,
};

/** Its virtual time is real time here, a hundred times as fast. */
async function makeSimHarness(marks: "machine" | "launch", tasks?: Tasks): Promise<ComputeHarness> {
  const gone: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const pool = onePool(tasks === undefined ? undefined : taskCompute);
  const nobody = (): void => {};
  const cloud = new SimCloud({
    scheduler: {
      get now() {
        return Date.now();
      },
      after(milliseconds, label, run) {
        timers.add(setTimeout(run, milliseconds / 100));
        return { label, run };
      },
    },
    marks,
    random: createSeededRandom("conformance"),
    ...(tasks !== undefined && { tasks }),
    pools: [pool],
    faults: () => quiet,
    hours: 1,
    events: {
      launching: nobody,
      launched: nobody,
      terminating: nobody,
      notice: nobody,
      atRisk: nobody,
      gone: ({ providerId }) => gone.push(providerId),
      announce: nobody,
    },
  });
  const compute = cloud.computes.at(-1);
  if (compute === undefined) throw new Error("The simulator has a compute.");
  return {
    open: () => compute,
    marks,
    machinesOutliveAdapter: true,
    refuse: async () => pool.isFullForSecond(),
    seenByOthers: async () => JSON.stringify([...cloud.machines.values()]),
    finish: async (providerId) => {
      const machine = cloud.machines.get(providerId);
      if (machine !== undefined) cloud.powerOff(machine);
    },
    gone,
    async close() {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/** Its capacity is asked for once for each machine, so that it can be full for the second one only. */
function onePool(compute: string | undefined): Pool & { isFullForSecond(): void } {
  let asked = 0;
  let fullAt = 0;
  return {
    name: "one",
    ...(compute !== undefined && { compute }),
    purchase: "on-demand",
    get capacity() {
      asked += 1;
      return asked === fullAt ? 0 : 1_000;
    },
    isFullForSecond() {
      fullAt = asked + 2;
    },
  };
}

describeCompute("local", makeLocalHarness);

async function makeLocalHarness(): Promise<ComputeHarness> {
  const root = mkdtempSync(join(tmpdir(), "mayfly-compute-"));
  const machinesDirectory = join(root, "machines");
  const runner = join(root, "runner");
  await mkdir(join(runner, "bin"), { recursive: true });
  const listener = join(runner, "bin/Runner.Listener");
  await writeFile(listener, '#!/bin/sh\nwhile [ ! -e "$HOME/finish" ]; do sleep 0.05; done\n');
  await chmod(listener, 0o755);
  const controlPlane = await startStubControlPlane({ claims: [runAnswer()] });
  const gone: string[] = [];
  return {
    open: () =>
      createLocalCompute({
        machinesDirectory,
        agentFile: fileURLToPath(new URL("../../src/agent/agent.sh", import.meta.url)),
        controlPlaneUrl: controlPlane.url,
        runnerDirectories: { "linux-x64": runner },
        clock: createSystemClock(),
        log: createMemoryLog(),
        environment: { MAYFLY_SECOND_MILLISECONDS: "50" },
        onGone: (providerId) => gone.push(providerId),
      }),
    marks: "machine",
    machinesOutliveAdapter: true,
    async refuse(machineId) {
      await mkdir(join(machinesDirectory, machineId, "of somebody else"), { recursive: true });
    },
    seenByOthers: async () =>
      execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }) + readAll(machinesDirectory),
    finish: (providerId) => writeFile(join(machinesDirectory, providerId, "home/finish"), ""),
    gone,
    async close() {
      await controlPlane.close();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function readAll(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map(
      (entry) =>
        join(entry.parentPath, entry.name) +
        (entry.isFile() ? readFileSync(join(entry.parentPath, entry.name), "utf8") : ""),
    )
    .join("\n");
}
