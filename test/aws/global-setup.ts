import type { TestProject } from "vitest/node";
import { hasMoto, startMoto } from "../support/moto-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Address of moto, or empty where it is not installed. */
    readonly moto: string;
    /** Address of what stands in for DynamoDB: moto, or what `MAYFLY_TEST_DYNAMODB_URL` names. */
    readonly dynamodb: string;
  }
}

/** Starts moto for the tests and returns what stops it. Where it is not installed, says so, and the tests skip. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dynamodb = process.env.MAYFLY_TEST_DYNAMODB_URL;
  if (!hasMoto()) {
    process.stderr.write(
      "There is no moto_server, so the tests on AWS's stand-in are left out: pip install 'moto[server]'.\n",
    );
    project.provide("moto", "");
    project.provide("dynamodb", dynamodb ?? "");
    return async () => undefined;
  }
  const moto = await startMoto();
  project.provide("moto", moto.url);
  project.provide("dynamodb", dynamodb ?? moto.url);
  return moto.stop;
}
