import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { hostArchitecture, launchRequest } from "../../../test/conformance/compute.ts";
import type { LaunchFailureKind } from "../../core/model.ts";
import { createSystemClock } from "../clock/system.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createDockerCompute, type DockerComputeOptions } from "./docker.ts";
import { classifyEngineAnswer } from "./docker-errors.ts";

// What needs an engine is in test/docker. Here is what no engine does on demand.

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

describe("an engine that does not answer", () => {
  it("is an error that says what to do: start it, when nothing is there", async () => {
    const compute = open({ engine: "unix:///nowhere/docker.sock" });
    const failure = { kind: "operator", code: "COMPUTE_DOCKER_UNREACHABLE" };
    await expect(compute.list()).rejects.toMatchObject(failure);
    await expect(compute.launch(launchRequest(["machine-1"]))).rejects.toMatchObject(failure);
    await expect(compute.terminate(["a".repeat(64)])).rejects.toMatchObject(failure);
  });

  it("is an error that is tried again, when it hangs up", async () => {
    const compute = open({ engine: await startEngine(() => undefined) });
    await expect(compute.list()).rejects.toMatchObject({ kind: "retry", code: "COMPUTE_DOCKER_UNREACHABLE" });
  });
});

describe("the first calls", () => {
  it("look for what an earlier server has left before anything is launched, or would end it as such", async () => {
    const id = "a".repeat(64);
    const done: string[] = [];
    const created = Promise.withResolvers<void>();
    let listings = 0;
    const engine = await startEngine(async ({ method, url = "" }) => {
      const path = new URL(url, "http://engine").pathname;
      if (path === "/version") return [200, { Arch: hostArchitecture === "arm64" ? "arm64" : "amd64" }];
      if (path === "/containers/json") {
        listings += 1;
        if (listings === 1) return [200, []];
        await created.promise;
        return [200, [{ Id: id, Created: 0, Labels: {} }]];
      }
      if (path === "/containers/create") {
        created.resolve();
        return [201, { Id: id }];
      }
      // As engines do for one that does not run yet.
      if (path.endsWith("/wait") && !done.includes("start")) return [200, { StatusCode: 0 }];
      if (path.endsWith("/archive")) await new Promise((resolve) => setTimeout(resolve, 200));
      if (path.endsWith("/start")) done.push("start");
      if (method === "DELETE") done.push("remove");
      if (path.endsWith("/archive")) return [200, {}];
      return method === "DELETE" || path.endsWith("/start") ? [204, {}] : "wait";
    });
    const compute = open({ engine });
    const launched = await Promise.all([
      compute.launch(launchRequest(["machine-1"])),
      compute.launch(launchRequest(["machine-1"])),
    ]);
    expect(launched.flat()).toMatchObject([{ kind: "launched" }, { kind: "launched" }]);
    expect(done).toEqual(["start"]);
  });
});

describe("an image that is missing", () => {
  it("is pulled once for all launches that wait for it, with one tag, and then used", async () => {
    const pulls: string[] = [];
    let pulled = false;
    const engine = await startEngine((incoming) => {
      const url = new URL(incoming.url ?? "", "http://engine");
      if (url.pathname === "/version")
        return [200, { Arch: hostArchitecture === "arm64" ? "arm64" : "amd64" }];
      if (url.pathname === "/containers/json") return [200, []];
      if (url.pathname === "/images/create") {
        pulls.push(url.searchParams.get("fromImage") ?? "");
        pulled = true;
        return [200, { status: "Pull complete" }];
      }
      if (url.pathname === "/containers/create") {
        const id = (url.searchParams.get("name") === "machine-1" ? "a" : "b").repeat(64);
        return pulled
          ? [201, { Id: id }]
          : [404, { message: "No such image: registry.example/runner:latest" }];
      }
      if (url.pathname.endsWith("/archive")) return [200, {}];
      return url.pathname.endsWith("/start") ? [204, {}] : "wait";
    });
    const compute = open({ engine, image: "registry.example/runner" });
    const outcomes = await compute.launch(launchRequest(["machine-1", "machine-2"]));
    expect(outcomes.map((one) => one.kind)).toEqual(["launched", "launched"]);
    expect(pulls).toEqual(["registry.example/runner:latest"]);
    await compute.close();
  });
});

it.each<[LaunchFailureKind, string, number, string]>([
  // Docker's own sentences first, Podman's below them.
  ["configuration", "IMAGE_REFUSED", 404, '{"message":"manifest for a/b:c not found: manifest unknown"}'],
  [
    "throttle",
    "PULL_THROTTLED",
    500,
    '{"message":"toomanyrequests: You have reached your pull rate limit."}',
  ],
  ["configuration", "NETWORK_UNKNOWN", 404, '{"message":"network lan not found"}'],
  [
    "configuration",
    "LIMITS_REFUSED",
    400,
    '{"message":"Range of CPUs is from 0.01 to 2.00, as there are only 2"}',
  ],
  ["configuration", "NO_SPACE", 500, '{"message":"write /var/lib/x: no space left on device"}'],
  ["transient", "REGISTRY_UNREACHABLE", 500, '{"message":"dial tcp: lookup r.example: no such host"}'],
  [
    "configuration",
    "USER_UNKNOWN",
    500,
    '{"cause":"x","message":"unable to find user x: no matching entries","response":500}',
  ],
  [
    "configuration",
    "IMAGE_WITHOUT_SHELL",
    400,
    '{"message":"runc create failed: exec: \\"/bin/sh\\": stat /bin/sh: no such file or directory: unknown"}',
  ],
  [
    "configuration",
    "NO_INIT",
    500,
    '{"message":"exec: \\"docker-init\\": executable file not found in $PATH"}',
  ],
  ["transient", "CONTAINER_GONE", 404, '{"message":"No such container: 0faba64f569b"}'],
  // Podman, about a container that is removed while the agent is copied into it.
  [
    "transient",
    "ENGINE_500",
    500,
    '{"cause":"exit status 1","message":"error in copier subprocess: chdir /storage/vfs/dir/8bc9: no such file or directory"}',
  ],
  ["transient", "REGISTRY_UNREACHABLE", 200, '{"status":"Pulling"}\n{"error":"connect: connection refused"}'],
  ["transient", "ENGINE_503", 503, "upstream connect error"],
  ["configuration", "ENGINE_400", 400, '{"message":"something new"}'],
  ["transient", "ENGINE_500", 500, ""],
])("classifies a refusal as %s (%s)", (failure, code, status, body) => {
  expect(classifyEngineAnswer("do it", { status, body })).toMatchObject({ failure, code });
});

it("options that cannot work fail at construction", () => {
  expect(() => open({ engine: "docker.sock" })).toThrow(/not the address of a container engine/);
  expect(() => open({ agentFile: "agent.sh" })).toThrow(/not absolute/);
  expect(() => open({ controlPlaneUrl: "localhost" })).toThrow(/not an http or https address/);
});

function open(overrides: Partial<DockerComputeOptions>) {
  return createDockerCompute({
    engine: "unix:///nowhere/docker.sock",
    agentFile: fileURLToPath(new URL("../../agent/agent.sh", import.meta.url)),
    controlPlaneUrl: "http://127.0.0.1:1",
    image: "image",
    runnerDirectory: "/home/runner",
    clock: createSystemClock(),
    log: createMemoryLog(),
    ...overrides,
  });
}

/** `wait`: it answers never; undefined: it hangs up. */
type EngineAnswer = readonly [number, unknown] | "wait" | undefined;

/** An engine with scripted answers. */
async function startEngine(
  answer: (incoming: IncomingMessage) => EngineAnswer | Promise<EngineAnswer>,
): Promise<string> {
  const server = createServer(async (incoming, outgoing) => {
    incoming.resume();
    const chosen = await answer(incoming);
    if (chosen === undefined) incoming.socket.destroy();
    else if (chosen !== "wait")
      outgoing.writeHead(chosen[0]).end(chosen[0] === 204 ? "" : JSON.stringify(chosen[1]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
