import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetSpec, start } from "../../../test/builders.ts";
import type { FleetSpec } from "../../core/model.ts";
import type { LaunchRequest } from "../../ports/compute.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createFargateCompute } from "./fargate.ts";
import { meaningOfEcsCode, wasTaskTakenBack, whyTaskStopped } from "./fargate-errors.ts";
import { createLaunchRate } from "./fargate-rate.ts";
import { marksOf, ourTags } from "./fargate-tags.ts";

type Json = Readonly<Record<string, unknown>>;
type Answer = Json | { readonly refused: string; readonly message?: string; readonly status?: number };

/** ECS by a script: for each action its answers, the last one again and again. */
function place(script: Readonly<Record<string, readonly Answer[]>> = {}, tags: Record<string, string> = {}) {
  const calls: { action: string; input: Json }[] = [];
  const known: Readonly<Record<string, readonly Answer[]>> = { DescribeTaskDefinition: [{}], ...script };
  const client: AwsClient = {
    region: "eu-west-1",
    send: async (request) => {
      const before = calls.filter(({ action }) => action === request.action).length;
      calls.push({ action: request.action, input: JSON.parse(request.body) });
      const answers = known[request.action] ?? [];
      const answer = answers[Math.min(before, answers.length - 1)];
      if (answer === undefined) throw new Error(`Nothing was planned for ${request.action}.`);
      if ("refused" in answer) {
        const {
          refused,
          message = "No.",
          status = 400,
        } = answer as {
          refused: string;
          message?: string;
          status?: number;
        };
        throw new AwsError(request, { status: Number(status), awsCode: refused, message, details: {} });
      }
      return { status: 200, headers: {}, body: JSON.stringify(answer) };
    },
  };
  const clock = createManualClock();
  const log = createMemoryLog();
  const compute = createFargateCompute({
    ...{ client, clock, log, tags, deployment: "mayfly", cluster: "mayfly", region: "eu-west-1" },
    subnets: ["subnet-a", "subnet-b"],
    securityGroups: ["sg-1"],
    publicAddresses: false,
    taskRoleArn: "arn:aws:iam::123456789012:role/task",
    executionRoleArn: "arn:aws:iam::123456789012:role/execution",
    logGroup: "/mayfly",
    script: "exec agent",
    environment: { MAYFLY_URL: "https://api.example.com" },
    presets: { exec: { shell: true } },
  });
  const inputsOf = (action: string) =>
    calls.filter((call) => call.action === action).map(({ input }) => input);
  return { compute, calls, inputsOf, log, clock };
}

function request(
  count = 1,
  changes: Partial<LaunchRequest> = {},
  spec: Partial<FleetSpec> = {},
): LaunchRequest {
  const size = { compute: "fargate", image: "ubuntu:24.04", instanceTypes: ["fargate-1024-2048"] };
  return {
    fleet: "linux-x64",
    spec: fleetSpec({ ...size, ...spec }),
    purchase: "spot",
    token: "linux-x64-m1",
    attempt: 1,
    machines: Array.from({ length: count }, (_, index) => ({ id: `linux-x64-m${index + 1}` })),
    avoidPools: [],
    jobTimeoutSeconds: 3_600,
    bootTimeoutSeconds: 300,
    ...changes,
  };
}

const task = (id: string) => ({ taskArn: `arn:aws:ecs:eu-west-1:123456789012:task/mayfly/${id}` });
const one = { tasks: [task("t1")] };

describe("the request", () => {
  it.each([
    ["spot", "FARGATE_SPOT"],
    ["on-demand", "FARGATE"],
  ] as const)(
    "for %s names the capacity provider %s and no launch type",
    async (purchase, capacityProvider) => {
      const { compute, inputsOf } = place({ RunTask: [one] });
      await compute.launch(request(1, { purchase }));
      const [input] = inputsOf("RunTask");
      expect(input).toMatchObject({ capacityProviderStrategy: [{ capacityProvider, weight: 1 }] });
      expect(input).not.toHaveProperty("launchType");
    },
  );

  it("is up to ten tasks, each call with its own token, which fits", async () => {
    const { compute, inputsOf } = place({ RunTask: [one] });
    const token = `${"p".repeat(40)}-23456789bcdf`;
    await compute.launch(request(23, { token }));
    const calls = inputsOf("RunTask").map(({ count, clientToken }) => [count, clientToken]);
    expect(calls).toEqual([
      [10, `${token}.0`],
      [10, `${token}.1`],
      [3, `${token}.2`],
    ]);
    expect(Math.max(...calls.map(([, text]) => String(text).length))).toBeLessThanOrEqual(64);
  });

  it("E9 and E11: carries nothing of a machine: no overrides, no credential", async () => {
    const { compute, inputsOf } = place({
      RunTask: [one],
      DescribeTaskDefinition: [{ refused: "ClientException" }],
      RegisterTaskDefinition: [{}],
    });
    await compute.launch(request());
    expect(inputsOf("RunTask")[0]).not.toHaveProperty("overrides");
    const sent = JSON.stringify([inputsOf("RunTask"), inputsOf("RegisterTaskDefinition")]);
    expect(sent).not.toMatch(/token.*secret|jit|credential/i);
  });

  it("is the same to the letter when it is repeated: ECS would take another for a conflict", async () => {
    const { compute, inputsOf } = place({ RunTask: [{ refused: "ServerException", status: 500 }, one] });
    await expect(compute.launch(request(3))).rejects.toMatchObject({ kind: "retry" });
    await compute.launch(request(3, { attempt: 2, avoidPools: ["fargate-1024-2048/spot"] }));
    const [first, second] = inputsOf("RunTask");
    expect(second).toEqual(first);
  });

  it("has a shell where the preset allows it, and only there", async () => {
    const { compute, inputsOf } = place({ RunTask: [one] });
    await compute.launch(request());
    await compute.launch(request(1, { token: "other" }, { preset: "exec" }));
    expect(inputsOf("RunTask").map(({ enableExecuteCommand }) => enableExecuteCommand)).toEqual([
      false,
      true,
    ]);
  });

  it("tags tasks with the launch, what it is for, and the user's tags, which cannot hide ours", async () => {
    const { compute, inputsOf } = place({ RunTask: [one] }, { team: "ci", "mayfly:launch": "not this" });
    await compute.launch(request(1, { fleet: "linux-x64/cpu=1,memoryGib=2", repository: "acme/app" }));
    const tags = inputsOf("RunTask")[0]?.tags as { key: string; value: string }[];
    expect(Object.fromEntries(tags.map(({ key, value }) => [key, value]))).toEqual({
      team: "ci",
      "mayfly:deployment": "mayfly",
      "mayfly:fleet": "linux-x64/cpu=1@2cmemoryGib=2",
      "mayfly:preset": "linux-x64",
      "mayfly:launch": "linux-x64-m1",
      "mayfly:machine": "linux-x64-m1",
      "mayfly:repository": "acme/app",
    });
  });

  it("every mark survives as a tag that ECS takes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        const [[key, encoded] = ["", ""]] = Object.entries(ourTags({ fleet: value }));
        expect(encoded).toMatch(/^[A-Za-z0-9 +=._:/@-]*$/);
        expect(marksOf([{ key, value: encoded }]).get("fleet")).toBe(value);
      }),
    );
  });
});

describe("the task definition", () => {
  const registered = async (spec: Partial<FleetSpec> = {}) => {
    const { compute, inputsOf } = place({
      RunTask: [one],
      DescribeTaskDefinition: [
        { refused: "ClientException", message: "Unable to describe task definition." },
      ],
      RegisterTaskDefinition: [{}],
    });
    await compute.launch(request(1, {}, spec));
    return inputsOf("RegisterTaskDefinition")[0] as Json & { family: string; containerDefinitions: Json[] };
  };

  it("has the size, the processor and the agent's two minutes", async () => {
    const definition = await registered();
    expect(definition).toMatchObject({
      ...{ cpu: "1024", memory: "2048", networkMode: "awsvpc", requiresCompatibilities: ["FARGATE"] },
      runtimePlatform: { cpuArchitecture: "X86_64", operatingSystemFamily: "LINUX" },
    });
    expect(definition).not.toHaveProperty("ephemeralStorage");
    // An init process would keep in its environment where the role's credentials are.
    expect(definition.containerDefinitions[0]).not.toHaveProperty("linuxParameters");
    expect(definition.containerDefinitions[0]).toMatchObject({
      ...{ image: "ubuntu:24.04", user: "0", stopTimeout: 120, command: ["exec agent"] },
      environment: [
        { name: "MAYFLY_URL", value: "https://api.example.com" },
        { name: "MAYFLY_BOOT_TIMEOUT_SECONDS", value: "300" },
      ],
    });
  });

  it("has another processor and a disk where they are asked for", async () => {
    const arm = { architecture: "arm64", instanceTypes: ["fargate-arm64-256-512"], diskGib: 50 } as const;
    expect(await registered(arm)).toMatchObject({
      ...{ cpu: "256", memory: "512", ephemeralStorage: { sizeInGiB: 50 } },
      runtimePlatform: { cpuArchitecture: "ARM64" },
    });
  });

  it("E14 and E15: is another one for any other content, and the same for the same", async () => {
    const families = await Promise.all(
      [
        {},
        { image: "foo/bar:1" },
        { image: "foo-bar:1" },
        { image: "foo.bar-1" },
        { instanceTypes: ["fargate-2048-4096"] },
        { diskGib: 30 },
      ].map(async (spec) => (await registered(spec)).family),
    );
    expect(new Set(families).size).toBe(families.length);
    expect((await registered()).family).toBe(families[0]);
    expect(families[0]).toMatch(/^mayfly-mayfly-[0-9a-f]{24}$/);
  });

  it("is looked for once, and again after a refusal that may be its own", async () => {
    const { compute, inputsOf } = place({
      RunTask: [one, { refused: "ClientException", message: "TaskDefinition not found." }, one],
    });
    for (const token of ["a", "b", "c"]) await compute.launch(request(1, { token }));
    expect(inputsOf("DescribeTaskDefinition")).toHaveLength(2);
  });
});

describe("a launch that is not made", () => {
  it.each([
    ["WRONG_SYSTEM", { operatingSystem: "windows" }],
    ["FARGATE_SIZE_UNKNOWN", { instanceTypes: [] }],
    ["FARGATE_SIZE_UNKNOWN", { instanceTypes: ["m7i.large"] }],
    ["WRONG_ARCHITECTURE", { architecture: "arm64" }],
    ["FARGATE_DISK_TOO_LARGE", { diskGib: 201 }],
  ] as const)("%s: %j", async (code, spec) => {
    const { compute, calls } = place();
    expect(await compute.launch(request(1, {}, spec))).toMatchObject([
      { kind: "refused", failure: "configuration", code },
    ]);
    expect(calls).toEqual([]);
  });

  it("without an image, and in a pool that refused", async () => {
    const { compute, calls } = place();
    const { image: _, ...spec } = fleetSpec({ instanceTypes: ["fargate-1024-2048"] });
    expect(await compute.launch({ ...request(), spec })).toMatchObject([{ code: "NO_IMAGE" }]);
    const avoided = request(1, { token: "other", avoidPools: ["fargate-1024-2048/spot"] });
    expect(await compute.launch(avoided)).toMatchObject([{ code: "ALL_POOLS_AVOIDED", failure: "capacity" }]);
    expect(calls).toEqual([]);
  });
});

describe("a refusal", () => {
  it.each([
    [
      "Capacity is unavailable at this time. Please try again later or in a different availability zone",
      "capacity",
    ],
    ["You've reached the limit on the number of tasks you can run concurrently", "quota"],
    ["You've reached the limit on the number of vCPUs you can run concurrently", "quota"],
    ["RESOURCE:ENI", "capacity"],
    ["Rate exceeded", "throttle"],
    ["The capacity provider FARGATE_SPOT was not found", "configuration"],
    ["Something new", "transient"],
  ])("E24: inside of a 200 is not lost: %s is %s", async (reason, failure) => {
    const { compute } = place({ RunTask: [{ ...one, failures: [{ reason }] }] });
    const outcomes = await compute.launch(request(2));
    expect(outcomes).toMatchObject([
      { kind: "launched", providerId: "t1", pool: "fargate-1024-2048/spot" },
      { kind: "refused", failure, pools: failure === "capacity" ? ["fargate-1024-2048/spot"] : [] },
    ]);
    expect((outcomes[1] as { message: string }).message).toMatch(/^Fargate gave 1 of 2 tasks: /);
  });

  it("is spoken for by what may pass by itself, so that nothing dearer is bought on its account", async () => {
    const failures = ["EMPTY CAPACITY PROVIDER", "Capacity is unavailable", "Rate exceeded"].map(
      (reason) => ({ reason }),
    );
    const { compute } = place({ RunTask: [{ tasks: [], failures }] });
    expect(await compute.launch(request())).toMatchObject([
      { failure: "throttle", code: "FARGATE_THROTTLED" },
    ]);
  });

  it.each([
    ["AccessDeniedException", "not authorized to perform: ecs:RunTask", "configuration", /Add ecs:RunTask/],
    ["ClusterNotFoundException", "Cluster not found.", "configuration", /Cluster not found/],
    [
      "InvalidParameterException",
      "Unable to assume the service linked role.",
      "configuration",
      /create-service-linked-role/,
    ],
    ["LimitExceededException", "Too much.", "quota", /Too much/],
    ["ClientException", "Capacity is unavailable at this time.", "capacity", /Capacity/],
  ] as const)("of the call, %s, says what to do", async (refused, message, failure, says) => {
    const { compute } = place({ RunTask: [{ refused, message }] });
    const outcomes = await compute.launch(request(2));
    expect(outcomes).toMatchObject([{ kind: "refused", failure, code: refused }]);
    expect((outcomes[0] as { message: string }).message).toMatch(says);
  });

  it.each([
    ["ThrottlingException", "Rate exceeded"],
    ["InvalidParameterException", "Error retrieving security group: Request limit exceeded."],
  ])("as throttled, by %s, is asked for again with the same tokens, later", async (refused, message) => {
    const { compute } = place({ RunTask: [one, { refused, message }] });
    await expect(compute.launch(request(20))).rejects.toMatchObject({
      kind: "wait",
      retryAt: start + 10_000,
    });
  });

  it("without a word ends the launch", async () => {
    const { compute } = place({ RunTask: [{ tasks: [] }] });
    expect(await compute.launch(request())).toMatchObject([
      { code: "FARGATE_LAUNCH_SPENT", failure: "transient" },
    ]);
  });

  it("as a conflict leads to what was launched, and in the end to nothing more", async () => {
    const conflict = { refused: "ConflictException" };
    const { compute } = place({
      RunTask: [conflict],
      ListTasks: [{ taskArns: [] }, { taskArns: [task("t1").taskArn] }],
    });
    await expect(compute.launch(request(2))).rejects.toMatchObject({ code: "FARGATE_LAUNCH_IN_DOUBT" });
    expect(await compute.launch(request(2, { attempt: 2 }))).toMatchObject([{ providerId: "t1" }]);
    expect(await compute.launch(request(2, { attempt: 3 }))).toMatchObject([
      { providerId: "t1" },
      { kind: "refused", code: "FARGATE_LAUNCH_SPENT" },
    ]);
  });

  it("by a code that nobody knows may pass, and buys nothing dearer", () => {
    expect(meaningOfEcsCode("SomethingNew", "What is this?")).toEqual({ failure: "transient" });
  });
});

describe("the list", () => {
  const listed = (changes: Json, deployment = "mayfly") => ({
    ...task("t1"),
    ...{
      lastStatus: "RUNNING",
      desiredStatus: "RUNNING",
      createdAt: 1_700_000_000.123,
      capacityProviderName: "FARGATE_SPOT",
    },
    tags: Object.entries(ourTags({ deployment, fleet: "f", preset: "p", launch: "l" })).map(
      ([key, value]) => ({ key, value }),
    ),
    ...changes,
  });

  it("reads all pages of both lists, and only what is ours", async () => {
    const { compute, inputsOf } = place({
      ListTasks: [{ taskArns: ["a"], nextToken: "more" }, { taskArns: ["c"] }, { taskArns: ["b"] }],
      DescribeTasks: [{ tasks: [listed({}), listed({}, "another"), listed({ tags: [] })] }],
    });
    expect(await compute.list()).toEqual([
      {
        ...{ providerId: "t1", fleet: "f", preset: "p", launchToken: "l" },
        purchase: "spot",
        launchedAt: 1_700_000_000_123,
      },
    ]);
    expect(inputsOf("ListTasks").map(({ desiredStatus, nextToken }) => [desiredStatus, nextToken])).toEqual([
      ["RUNNING", undefined],
      ["STOPPED", undefined],
      ["RUNNING", "more"],
    ]);
    expect(inputsOf("DescribeTasks")).toEqual([
      expect.objectContaining({ tasks: expect.arrayContaining(["a", "b", "c"]) }),
    ]);
  });

  it("says of a task that stopped why, and whether it was taken", async () => {
    const stopped = {
      lastStatus: "STOPPED",
      stopCode: "SpotInterruption",
      stoppedReason: "Your Spot Task was interrupted.",
    };
    const { compute } = place({
      ListTasks: [{ taskArns: ["a"] }],
      DescribeTasks: [{ tasks: [listed(stopped)] }],
    });
    expect((await compute.list())[0]?.ended).toEqual({
      takenBack: true,
      detail: "Fargate took the spot capacity back.",
    });
  });
});

describe("the end of a task", () => {
  it.each([
    [{ stopCode: "UserInitiated", stoppedReason: "Mayfly ends this machine." }, undefined],
    [
      { stopCode: "EssentialContainerExited", stoppedReason: "Essential container in task exited" },
      undefined,
    ],
    [{}, undefined],
    [
      {
        stopCode: "TaskFailedToStart",
        stoppedReason: "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found",
      },
      /image exists for this architecture/,
    ],
    [
      { stopCode: "TaskFailedToStart", stoppedReason: "ResourceInitializationError: unable to pull secrets" },
      /reach ECR/,
    ],
    [
      {
        stopCode: "EssentialContainerExited",
        stoppedReason: "Essential container in task exited",
        containers: [{ reason: "OutOfMemoryError: Container killed due to memory usage" }],
      },
      /OutOfMemoryError.*larger class/,
    ],
    [
      { stopCode: "ServiceSchedulerInitiated", stoppedReason: "Task is being retired" },
      /Task is being retired/,
    ],
  ])("%j is explained by %s", (stopped, says) => {
    const why = whyTaskStopped(stopped);
    if (says === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(says);
    expect(wasTaskTakenBack(stopped)).toBe(false);
  });

  it("before it began, for want of capacity, is a capacity that was taken back: the next one goes elsewhere", () => {
    const stopped = { stopCode: "TaskFailedToStart", stoppedReason: "Capacity is unavailable at this time." };
    expect(wasTaskTakenBack(stopped)).toBe(true);
    expect(whyTaskStopped(stopped)).toMatch(/Capacity is unavailable/);
  });

  it("E17: a refusal to stop is logged and the task is not called gone; what is gone is", async () => {
    const ids = ["1", "2", "3", "4", "5"].map((digit) => digit.repeat(32));
    const [running, stopping, stopped] = ids;
    const { compute, inputsOf, log } = place({
      DescribeTasks: [
        {
          tasks: [
            { ...task(running ?? ""), lastStatus: "RUNNING", desiredStatus: "RUNNING" },
            { ...task(stopping ?? ""), lastStatus: "STOPPING", desiredStatus: "STOPPED" },
            { ...task(stopped ?? ""), lastStatus: "STOPPED", desiredStatus: "STOPPED" },
          ],
        },
      ],
      StopTask: [
        {},
        { refused: "InvalidParameterException", message: "The referenced task was not found." },
        { refused: "ClientException" },
      ],
    });
    expect((await compute.terminate([...ids, "../etc"])).map(({ kind }) => kind)).toEqual([
      ...["terminating", "terminating", "absent", "absent", "terminating", "absent"],
    ]);
    expect(inputsOf("StopTask").map((input) => input.task)).toEqual([running, ids[3], ids[4]]);
    expect(log.text()).toContain("A task refuses to be stopped.");
  });

  it("that is not allowed is said of a task that is there; one that ECS has forgotten has no tag, and is gone", async () => {
    const [known = "", forgotten = ""] = ["1".repeat(32), "2".repeat(32)];
    const described = { ...task(known), lastStatus: "RUNNING", desiredStatus: "RUNNING" };
    const denied = { refused: "AccessDeniedException", message: "not authorized to perform: ecs:StopTask" };
    const answers = { DescribeTasks: [{ tasks: [described] }, { tasks: [] }], StopTask: [denied, denied] };
    const { compute } = place(answers);
    await expect(compute.terminate([known])).rejects.toThrow(/ecs:StopTask/);
    expect(await compute.terminate([forgotten])).toEqual([{ providerId: forgotten, kind: "absent" }]);
  });
});

describe("the rate of launches", () => {
  it("is a hundred at once and twenty a second, for each market; what would wait too long is asked for later", async () => {
    const clock = createManualClock();
    const rate = createLaunchRate(clock);
    await rate.take(100, "spot");
    await rate.take(100, "on-demand");
    let taken = false;
    const next = rate.take(10, "spot").then(() => {
      taken = true;
    });
    await clock.advance(499);
    expect(taken).toBe(false);
    await clock.advance(1);
    await next;
    await expect(rate.take(200, "spot")).rejects.toMatchObject({
      kind: "wait",
      retryAt: clock.now() + 10_000,
    });
    await clock.advance(5_000);
    await rate.take(100, "spot");
  });
});
