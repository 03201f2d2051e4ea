import { describe, expect, it } from "vitest";
import { policy, preset } from "../../../test/builders.ts";
import type { AwsClient } from "../../adapters/aws/client.ts";
import { AwsError } from "../../adapters/aws/errors.ts";
import { createManualClock } from "../../adapters/clock/manual.ts";
import { createMemoryLog } from "../../adapters/log/memory.ts";
import { policyWithStoredClasses } from "./stored-classes.ts";

const rules = policy({ presets: [preset({ compute: "fargate" })] });
const document = { policy: rules, classesParameter: "/mayfly/classes" };

/** A parameter that has this value, or is refused with this code. */
function parameterStore() {
  const state = { value: '{"medium":{"cpu":1024,"memory":2048}}', refusal: "", reads: [] as unknown[] };
  const clock = createManualClock();
  const log = createMemoryLog();
  const client: AwsClient = {
    region: "eu-west-1",
    async send(request) {
      state.reads.push(JSON.parse(request.body));
      if (state.refusal !== "") {
        throw new AwsError(request, { status: 400, awsCode: state.refusal, message: "", details: {} });
      }
      return { status: 200, headers: {}, body: JSON.stringify({ Parameter: { Value: state.value } }) };
    },
  };
  return { state, clock, log, read: policyWithStoredClasses(document, { client, clock, log }) };
}

describe("classes in Parameter Store", () => {
  it("stand in place of the policy's, read once for all who ask", async () => {
    const { state, read } = parameterStore();
    const [first, second] = await Promise.all([read(), read()]);
    expect(first).toEqual({ ...rules, classes: { medium: { cpu: 1, memoryGib: 2 } } });
    expect(second).toBe(first);
    expect(await read()).toBe(first);
    expect(state.reads).toEqual([{ Name: "/mayfly/classes", WithDecryption: true }]);
  });

  it("are read again after five minutes, and are the same policy where nothing has changed", async () => {
    const { state, clock, read } = parameterStore();
    const first = await read();
    await clock.advance(300_000);
    expect(await read()).toBe(first);
    state.value = '{"big":{"cpu":4096,"memory":8192}}';
    await clock.advance(300_000);
    expect((await read()).classes).toEqual({ big: { cpu: 4, memoryGib: 8 } });
    expect(state.reads).toHaveLength(3);
  });

  it("that were read go on to hold where they cannot be read again, or are wrong by now", async () => {
    const { state, clock, log, read } = parameterStore();
    const first = await read();
    state.value = '{"medium":{"cpu":1024,"memory":1024}}';
    await clock.advance(300_000);
    expect(await read()).toBe(first);
    expect(log.text()).toContain("could not be read again");
    state.refusal = "AccessDeniedException";
    await clock.advance(300_000);
    expect(await read()).toBe(first);
  });

  it("that were never read keep every job from being refused for a class that is not known", async () => {
    const { state, read } = parameterStore();
    state.refusal = "ParameterNotFound";
    await expect(read()).rejects.toMatchObject({ kind: "operator", code: "CLASSES_MISSING" });
    state.refusal = "";
    expect((await read()).classes).toHaveProperty("medium");
  });

  it("cost nothing where the configuration names none", async () => {
    const { clock, log, state } = parameterStore();
    const client = { region: "", send: () => Promise.reject(new Error("It must not be asked.")) };
    const read = policyWithStoredClasses({ policy: rules }, { client, clock, log });
    expect(await read()).toBe(rules);
    expect(state.reads).toEqual([]);
  });
});
