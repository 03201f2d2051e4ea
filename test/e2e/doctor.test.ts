import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Finding } from "../../src/core/diagnosis.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { type ServerProcess, startServer, until } from "../support/server-process.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let world: DemoWorld;
let server: ServerProcess | undefined;

beforeEach(async () => {
  world = await createDemoWorld({ faults: "none" });
});
afterEach(async () => {
  await server?.kill();
  server = undefined;
  await world.close();
});

interface Examination {
  readonly exitCode: number | null;
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
}

async function doctor(): Promise<Examination> {
  const child = spawn(process.execPath, [mainFile, "doctor", "--json", "--config", world.configPath], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { exitCode, ...JSON.parse(stdout) };
}

test("a box that is ready, and one where everything is wrong", async () => {
  server = await startServer(world.configPath);
  await world.startRuns({ jobs: 1 });
  await until(
    () => world.ended(),
    60,
    () => "the job has not ended",
  );
  const well = await doctor();
  expect(well.findings.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
  expect(well).toMatchObject({ exitCode: 0, healthy: true });

  const { model, context } = world.emulator;
  const { app } = model.state;
  model.state.app = { ...app, events: [], permissions: { ...app.permissions, actions: "none" } };
  for (const installation of model.state.installations.values())
    model.suspendInstallation(Date.now(), installation.id, true);
  world.emulator.setWebhook({ url: "http://127.0.0.1:1/webhook", secret: "wrong" });
  await rm(join(world.folder, "runner"), { recursive: true });
  await rm(join(world.folder, "webhook-secret"));
  expect(context.webhookUrl()).toBe("http://127.0.0.1:1/webhook");

  const ill = await doctor();
  expect(ill).toMatchObject({ exitCode: 1, healthy: false });
  const problems = ill.findings.filter(({ verdict }) => verdict === "problem");
  expect(problems.map(({ about }) => about)).toEqual([
    "secret webhook-secret",
    "App: events",
    "App: permission actions",
    "App: installation on octo-org",
    "preset linux-x64",
  ]);
  expect(problems.every(({ cure }) => cure !== null && cure !== "")).toBe(true);
});

test("an App that GitHub does not know is one finding, and the rest is looked at all the same", async () => {
  const { state } = world.emulator.model;
  state.app = { ...state.app, id: 999 };
  const { findings, exitCode } = await doctor();
  expect(exitCode).toBe(1);
  expect(findings.filter(({ verdict }) => verdict === "problem").map(({ about }) => about)).toEqual([
    "GitHub",
  ]);
  expect(findings.map(({ about }) => about)).toContain("preset linux-x64");
});
