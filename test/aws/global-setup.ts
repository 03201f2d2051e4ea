import type { TestProject } from "vitest/node";
import { hasMoto, startMoto } from "../support/moto-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Address of moto, or empty where it is not installed. */
    readonly moto: string;
  }
}

/** Starts moto for the tests and returns what stops it. Where it is not installed, says so, and the tests skip. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!hasMoto()) {
    process.stderr.write(
      "There is no moto_server, so the tests on AWS's stand-in are left out: pip install 'moto[server]'.\n",
    );
    project.provide("moto", "");
    return async () => undefined;
  }
  const moto = await startMoto();
  project.provide("moto", moto.url);
  return moto.stop;
}
