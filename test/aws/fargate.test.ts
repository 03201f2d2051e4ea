import { describe, expect, inject, it } from "vitest";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createFargateCompute } from "../../src/adapters/compute/fargate.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { fleetSpec } from "../builders.ts";
import { describeCompute, launchRequest } from "../conformance/compute.ts";
import { standInClient } from "../support/aws-environment.ts";
import { startAwsFaultProxy } from "../support/aws-fault-proxy.ts";
import { callEcs, keepTasksRunning, prepareEcs } from "../support/ecs-stand-in.ts";

const moto = inject("moto");
let deployments = 0;
const spec = { compute: "fargate", architecture: "x86_64", image: "ubuntu:24.04" } as const;
const small = { ...spec, instanceTypes: ["fargate-512-1024"] };

async function open() {
  const proxy = await startAwsFaultProxy(moto);
  const client = standInClient(proxy.url);
  await keepTasksRunning(moto);
  deployments += 1;
  const shape = await prepareEcs(client, `fargate-${deployments}`);
  const options = { ...shape, client, clock: createSystemClock(), log: createMemoryLog() };
  return { proxy, client, cluster: shape.cluster, options };
}

describeCompute(
  "fargate",
  async () => {
    const { proxy, client, cluster, options } = await open();
    return {
      open: () => createFargateCompute(options),
      marks: "launch",
      spec: small,
      machinesOutliveAdapter: true,
      async refuse() {
        // One task less than was asked for, and why.
        const failure = { reason: "Capacity is unavailable at this time. Please try again later." };
        proxy.inject("RunTask", {
          kind: "rewrite",
          request: (body) => body.replace('"count":3', '"count":2'),
          change: (body) => JSON.stringify({ ...JSON.parse(body), failures: [failure] }),
        });
      },
      async seenByOthers() {
        const { taskArns } = await callEcs<{ taskArns: string[] }>(client, "ListTasks", { cluster });
        const tasks = await callEcs(client, "DescribeTasks", { cluster, tasks: taskArns, include: ["TAGS"] });
        const { taskDefinitionArns } = await callEcs<{ taskDefinitionArns: string[] }>(
          client,
          "ListTaskDefinitions",
          {},
        );
        const definitions = taskDefinitionArns.map((taskDefinition) =>
          callEcs(client, "DescribeTaskDefinition", { taskDefinition }),
        );
        return JSON.stringify([tasks, await Promise.all(definitions)]);
      },
      async finish(providerId) {
        await callEcs(client, "StopTask", { cluster, task: providerId });
      },
      close: () => proxy.close(),
    };
  },
  { skip: moto === "" },
);

describe.skipIf(moto === "")("fargate on the stand-in", () => {
  it("a hundred machines are ten calls, one task definition, and a repetition starts none", async () => {
    const { proxy, options } = await open();
    const ids = Array.from({ length: 100 }, (_, index) => `machine-${index}`);
    const request = launchRequest(ids, { spec: fleetSpec(small), purchase: "spot", repository: "acme/app" });
    const compute = createFargateCompute(options);
    const outcomes = await compute.launch(request);
    expect(outcomes.filter(({ kind }) => kind === "launched")).toHaveLength(100);
    expect(outcomes[0]).toMatchObject({ pool: "fargate-512-1024/spot", purchase: "spot" });
    const actions = proxy.calls.map(({ action }) => action);
    expect(actions.filter((action) => action === "RunTask")).toHaveLength(10);
    expect(actions.filter((action) => action === "RegisterTaskDefinition")).toHaveLength(1);
    // Another process, as after a restart.
    const other = createFargateCompute(options);
    expect(await other.launch({ ...request, attempt: 2 })).toEqual(outcomes);
    const listed = await other.list();
    expect(listed).toHaveLength(100);
    expect(
      listed.every(({ purchase, launchToken }) => `${purchase} ${launchToken}` === "spot machine-0"),
    ).toBe(true);
    expect(proxy.calls.filter(({ action }) => action === "RegisterTaskDefinition")).toHaveLength(1);
    await proxy.close();
  });

  it("a launch whose answer is lost is found again, and nothing is started twice", async () => {
    const { proxy, options } = await open();
    const compute = createFargateCompute(options);
    proxy.inject("RunTask", { kind: "lose-answer" }, { kind: "lose-answer" });
    const request = launchRequest(["machine-1", "machine-2"], { spec: fleetSpec(small) });
    await expect(compute.launch(request)).rejects.toMatchObject({ kind: "retry" });
    const outcomes = await compute.launch({ ...request, attempt: 2 });
    expect(outcomes.map(({ kind }) => kind)).toEqual(["launched", "launched"]);
    expect(await compute.list()).toHaveLength(2);
    await proxy.close();
  });

  it("a repetition for fewer machines is answered by what there is", async () => {
    const { proxy, options } = await open();
    const compute = createFargateCompute(options);
    const two = launchRequest(["machine-1", "machine-2"], { spec: fleetSpec(small) });
    const outcomes = await compute.launch(two);
    const one = launchRequest(["machine-2"], { spec: fleetSpec(small), token: "machine-1", attempt: 2 });
    const sorted = (some: typeof outcomes) => some.map((entry) => JSON.stringify(entry)).sort();
    expect(sorted(await compute.launch(one))).toEqual(sorted(outcomes));
    await proxy.close();
  });

  it("another image is another task definition; the same one is none, whatever the fleet", async () => {
    const { proxy, options } = await open();
    const compute = createFargateCompute(options);
    const launch = (id: string, image: string, fleet: string) =>
      compute.launch(launchRequest([id], { fleet, spec: fleetSpec({ ...small, image }) }));
    await launch("machine-1", "foo/bar:1", "fleet-a");
    await launch("machine-2", "foo/bar:1", "fleet-b/cpu=1,memoryGib=2");
    // E14: another system made one name of these.
    await launch("machine-3", "foo-bar:1", "fleet-a");
    expect(proxy.calls.filter(({ action }) => action === "RegisterTaskDefinition")).toHaveLength(2);
    const fleets = (await compute.list()).map(({ fleet }) => fleet).sort();
    expect(fleets).toEqual(["fleet-a", "fleet-a", "fleet-b/cpu=1,memoryGib=2"]);
    await proxy.close();
  });
});
