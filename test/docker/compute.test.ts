import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { pack } from "tar-stream";
import { afterEach, describe, expect, inject, it } from "vitest";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createDockerCompute, type DockerComputeOptions } from "../../src/adapters/compute/docker.ts";
import { createDockerEngine } from "../../src/adapters/compute/docker-engine.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import type { Compute } from "../../src/ports/compute.ts";
import { fleetSpec } from "../builders.ts";
import {
  type ComputeHarness,
  conformanceCredential,
  describeCompute,
  hostArchitecture,
  launchRequest,
  providerIdOf,
  until,
  untilAbsent,
} from "../conformance/compute.ts";
import { runAnswer, type StubControlPlane, startStubControlPlane } from "../support/stub-control-plane.ts";

const address = inject("engine");
const image = "localhost/mayfly-test:latest";

if (address === "") {
  describe("compute docker", () => {
    it.skip(`${inject("whyNoEngine")}`, () => {});
  });
} else {
  describeCompute("docker", makeHarness);
  describe("a container", describeContainer);
}

function describeContainer(): void {
  let controlPlane: StubControlPlane;
  let compute: Compute | undefined;
  const gone: string[] = [];
  const start = async (overrides: Partial<DockerComputeOptions> = {}) => {
    controlPlane = await startStubControlPlane({ claims: [runAnswer()] });
    compute = open(controlPlane, (providerId) => gone.push(providerId), overrides);
    return compute;
  };
  afterEach(async () => {
    for (const { providerId } of (await compute?.list()) ?? []) {
      await compute?.terminate([providerId]);
      if (compute !== undefined) await untilAbsent(compute, providerId);
    }
    await compute?.close();
    await controlPlane.close();
    compute = undefined;
    gone.length = 0;
  });

  it("claims, runs a job, ends and is gone with everything that it had", async () => {
    const docker = await start();
    const providerId = providerIdOf((await docker.launch(launchRequest(["machine-1"])))[0]);
    await until(() => controlPlane.steps().includes("listening"));
    expect(controlPlane.requests[0]?.authorization).toBe(`Bearer ${conformanceCredential}`);
    await writeInContainer(providerId, "home/runner/finish", "");
    await until(() => gone.includes(providerId));
    expect(controlPlane.steps()).toEqual(["listening", "job-started", "exited"]);
    expect(controlPlane.lastReport("exited")).toMatchObject({ "exit-code": "0", "ran-job": "true" });
    expect(await docker.list()).toEqual([]);
  });

  it("is closed in: limits, no capabilities to speak of, no way to more rights, nothing of the host", async () => {
    const docker = await start({ environment: { COLOUR: "green" } });
    const spec = fleetSpec({ cpu: 1.5, memoryGib: 0.25, image, architecture: hostArchitecture });
    const providerId = providerIdOf((await docker.launch(launchRequest(["machine-1"], { spec })))[0]);
    await until(() => controlPlane.steps().includes("listening"));
    const inspected = await inspectRaw(providerId);
    expect(inspected.HostConfig).toMatchObject({ Memory: 2 ** 28, NanoCpus: 1.5e9, Privileged: false });
    expect(inspected.Mounts).toEqual([]);
    const pid = inspected.State.Pid;
    const status = execFileSync("cat", [`/proc/${pid}/status`], { encoding: "utf8" });
    expect(status).toMatch(/NoNewPrivs:\s+1/);
    expect(status).toMatch(/CapEff:\s+0000000000000000/);
    expect(status).toMatch(/Uid:\s+1001/);
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE.
    expect(BigInt(`0x${/CapBnd:\s+(\w+)/.exec(status)?.[1]}`)).toBe(0x4fbn);
    const cgroup = execFileSync("cat", [`/proc/${pid}/cgroup`], { encoding: "utf8" });
    const memory = /:(?:.*,)?memory:(.*)/.exec(cgroup)?.[1] ?? "";
    const limitFile = `/sys/fs/cgroup/memory${memory}/memory.limit_in_bytes`;
    if (memory !== "")
      expect(execFileSync("cat", [limitFile], { encoding: "utf8" }).trim()).toBe(String(2 ** 28));
  });

  it("keeps the credential from the job: no process and no file has it once the listener runs", async () => {
    const docker = await start();
    const providerId = providerIdOf((await docker.launch(launchRequest(["machine-1"])))[0]);
    await until(() => controlPlane.steps().includes("listening"));
    const raw = await inspectRaw(providerId);
    const environments = execFileSync(
      "sh",
      ["-c", `cat /proc/${raw.State.Pid}/environ /proc/[0-9]*/environ | tr '\\0' '\\n'`],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        maxBuffer: 2 ** 26,
      } as const,
    );
    expect(environments).toContain("MAYFLY_MACHINE_ID=machine-1");
    expect(environments).not.toContain(conformanceCredential);
    const folder = execFileSync("ls", [`/proc/${raw.State.Pid}/root/mayfly`], { encoding: "utf8" });
    expect(folder.split("\n").filter(Boolean)).toEqual(["agent.sh"]);
  });

  it("whose image is nowhere to be had is refused, once for all who wait for it", async () => {
    const docker = await start();
    const spec = fleetSpec({ image: "localhost:1/nowhere/nothing:1", architecture: hostArchitecture });
    const outcomes = await docker.launch(launchRequest(["machine-1", "machine-2"], { spec }));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ kind: "refused", failure: "transient", code: "REGISTRY_UNREACHABLE" });
    }
    expect(await docker.list()).toEqual([]);
  });

  it.each<[string, Partial<DockerComputeOptions>, string]>([
    ["an unknown user", { user: "nobody-knows" }, "USER_UNKNOWN"],
    ["an unknown network", { network: "no-such-network" }, "NETWORK_UNKNOWN"],
  ])("with %s is refused as a matter of configuration, and leaves nothing", async (_, overrides, code) => {
    const docker = await start(overrides);
    const [outcome] = await docker.launch(launchRequest(["machine-1"]));
    expect(outcome).toMatchObject({ kind: "refused", failure: "configuration", code });
    expect(await docker.list()).toEqual([]);
  });

  it("of another architecture than the engine's is refused", async () => {
    const docker = await start();
    const other = hostArchitecture === "arm64" ? "x86_64" : "arm64";
    const [outcome] = await docker.launch(
      launchRequest(["machine-1"], { spec: fleetSpec({ architecture: other }) }),
    );
    expect(outcome).toMatchObject({ kind: "refused", failure: "configuration", code: "WRONG_ARCHITECTURE" });
  });

  it("of another instance is neither listed nor terminated", async () => {
    const docker = await start();
    const providerId = providerIdOf((await docker.launch(launchRequest(["machine-1"])))[0]);
    const other = open(controlPlane, () => {}, { instance: "other" });
    expect(await other.list()).toEqual([]);
    expect(await other.terminate([providerId])).toEqual([{ providerId, kind: "absent" }]);
    await other.close();
    expect(await docker.list()).toHaveLength(1);
  });
}

// ------------------------------------------------------------------------------------------------- harness

async function makeHarness(): Promise<ComputeHarness> {
  const controlPlane = await startStubControlPlane({ claims: [runAnswer()] });
  const gone: string[] = [];
  const foreign: string[] = [];
  const engine = createDockerEngine(address);
  return {
    open: () => open(controlPlane, (providerId) => gone.push(providerId)),
    marks: "machine",
    machinesOutliveAdapter: true,
    async refuse(machineId) {
      const body = { Image: image, Entrypoint: ["/bin/true"] };
      await engine.call({ method: "POST", path: "/containers/create", query: { name: machineId }, body });
      foreign.push(machineId);
    },
    async seenByOthers() {
      const list = await engine.call({ method: "GET", path: "/containers/json", query: { all: "true" } });
      const ids = (JSON.parse(list.body) as { Id: string }[]).map((one) => one.Id);
      const inspected = await Promise.all(ids.map(async (id) => JSON.stringify(await inspectRaw(id))));
      return [list.body, ...inspected, execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })].join("\n");
    },
    finish: (providerId) => writeInContainer(providerId, "home/runner/finish", ""),
    gone,
    async close() {
      for (const name of foreign) {
        await engine.call({ method: "DELETE", path: `/containers/${name}`, query: { force: "true" } });
      }
      engine.close();
      await controlPlane.close();
    },
  };
}

function open(
  controlPlane: StubControlPlane,
  onGone: (providerId: string) => void,
  overrides: Partial<DockerComputeOptions> = {},
): Compute {
  return createDockerCompute({
    engine: address,
    agentFile: fileURLToPath(new URL("../../src/agent/agent.sh", import.meta.url)),
    controlPlaneUrl: controlPlane.url,
    image,
    runnerDirectory: "/home/runner",
    clock: createSystemClock(),
    log: createMemoryLog(),
    network: "host",
    pidsLimit: 0,
    onGone,
    ...overrides,
    environment: { MAYFLY_SECOND_MILLISECONDS: "100", ...overrides.environment },
  });
}

interface RawContainer {
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly Mounts: readonly unknown[];
  readonly State: { readonly Pid: number };
}

async function inspectRaw(id: string): Promise<RawContainer> {
  const engine = createDockerEngine(address);
  const answer = await engine.call({ method: "GET", path: `/containers/${id}/json` });
  engine.close();
  return JSON.parse(answer.body) as RawContainer;
}

async function writeInContainer(id: string, name: string, text: string): Promise<void> {
  const archive = pack();
  archive.entry({ name, mode: 0o666 }, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  const engine = createDockerEngine(address);
  const body = Buffer.concat(chunks);
  const answer = await engine.call({
    method: "PUT",
    path: `/containers/${id}/archive`,
    query: { path: "/" },
    body,
  });
  engine.close();
  expect(answer.status).toBe(200);
}
