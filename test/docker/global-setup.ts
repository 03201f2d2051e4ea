import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Address of the engine, or empty where there is none. */
    readonly engine: string;
    readonly whyNoEngine: string;
  }
}

const prepare = fileURLToPath(new URL("prepare.sh", import.meta.url));

/** Starts Podman for the tests and returns what stops it. Where that cannot be done, the tests say why and skip. */
export function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-podman-"));
  const { status, stderr, error } = spawnSync(prepare, ["start", folder], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  project.provide("engine", status === 0 ? `unix://${join(folder, "podman.sock")}` : "");
  project.provide("whyNoEngine", stderr?.trim() || String(error ?? ""));
  return () => {
    spawnSync(prepare, ["stop", folder], { stdio: "ignore" });
    rmSync(folder, { recursive: true, force: true });
  };
}
