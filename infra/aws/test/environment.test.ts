import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { loadConfig } from "../../../src/config/load.ts";
import { policyDocument } from "../../../src/config/policy-document.ts";
import { functions } from "../../../src/targets/aws/functions.ts";
import { parameters, readTemplate, resolveTemplate } from "./cloudformation.ts";

const real = process.env;
const folder = mkdtempSync(join(tmpdir(), "mayfly-environment-"));
afterEach(() => {
  process.env = real;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ["without Fargate", false],
  ["with Fargate", true],
] as const)("gives each function the variables that it reads %s, and no others", async (_, onFargate) => {
  const path = fileURLToPath(new URL("../../../examples/aws.yaml", import.meta.url));
  const tasks = { script: "echo", recipe: { buildspec: "", version: "1" } };
  const document = policyDocument(
    await loadConfig({ path, environment: {} }),
    "0.0.0",
    onFargate ? { tasks } : {},
  );
  writeFileSync(join(folder, "policy.json"), JSON.stringify(document));
  const given = new Map(
    resolveTemplate(readTemplate(), { ...parameters, Fargate: onFargate ? "yes" : "no" })
      .ofType("AWS::Lambda::Function")
      .map(({ FunctionName, Environment }) => [FunctionName, Environment.Variables] as const),
  );
  for (const { name } of functions) {
    const variables = given.get(`mayfly-${name}`);
    const read = await variablesRead(name, variables);
    expect([name, read.filter((variable) => variable in variables || !mayBeMissing.test(variable))]).toEqual([
      name,
      Object.keys(variables).sort(),
    ]);
  }
});

/** What is asked for, and may be missing. */
const mayBeMissing = /^MAYFLY_(EVENT_BUS|TASK_ROLE_ARN|TASK_PUBLIC_ADDRESSES|IMAGE_\w+)$/;

/** What a function asks its environment for when its first event comes, which is nothing that it could deal with. */
async function variablesRead(
  name: string,
  variables: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const read = new Set<string>();
  const environment = {
    ...{ LAMBDA_TASK_ROOT: folder, AWS_REGION: "eu-west-1", AWS_ENDPOINT_URL: "http://127.0.0.1:9" },
    ...variables,
  };
  // Each opens its ports once, with the environment that it finds then.
  vi.resetModules();
  const { handler } = await import(`../../../src/targets/aws/${name}.lambda.ts`);
  process.env = new Proxy<NodeJS.ProcessEnv>(environment, {
    get(target, key) {
      if (String(key).startsWith("MAYFLY_")) read.add(String(key));
      return Reflect.get(target, key);
    },
  });
  const http = { requestContext: { http: { method: "GET", path: "/nothing" } }, rawPath: "/nothing" };
  const event = {
    version: "2.0",
    rawQueryString: "",
    headers: {},
    isBase64Encoded: false,
    ...http,
    Records: [],
  };
  // The rebalancer has no time, asks for the ledger, and cannot reach it.
  await handler(event, { getRemainingTimeInMillis: () => 0 }).catch((error: unknown) => {
    if (String(error).includes("environment of this function")) throw error;
  });
  process.env = real;
  return [...read].sort();
}
