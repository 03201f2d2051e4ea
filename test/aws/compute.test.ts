import { describe, expect, inject, it } from "vitest";
import { callJson } from "../../src/adapters/aws/json.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createEc2Compute } from "../../src/adapters/compute/ec2.ts";
import { itemsAt, textAt, textsAt } from "../../src/adapters/compute/ec2-answers.ts";
import { createEc2Images } from "../../src/adapters/compute/ec2-images.ts";
import { createEc2Templates } from "../../src/adapters/compute/ec2-templates.ts";
import { architectureOfType } from "../../src/adapters/compute/ec2-types.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { ec2MachineTypes } from "../../src/config/ec2-machine-types.ts";
import { fleetSpec } from "../builders.ts";
import { describeCompute, launchRequest } from "../conformance/compute.ts";
import { standInClient } from "../support/aws-environment.ts";
import { startAwsFaultProxy } from "../support/aws-fault-proxy.ts";
import { callEc2, prepareEc2 } from "../support/ec2-stand-in.ts";

const moto = inject("moto");
let deployments = 0;

describeCompute(
  "ec2",
  async () => {
    const proxy = await startAwsFaultProxy(moto);
    const client = standInClient(proxy.url);
    const { subnets, launchTemplate } = await prepareEc2(client);
    deployments += 1;
    const deployment = `conformance-${deployments}`;
    return {
      open: () =>
        createEc2Compute({
          client,
          clock: createSystemClock(),
          log: createMemoryLog(),
          deployment,
          subnets,
          presets: { "linux-x64": { launchTemplate } },
        }),
      marks: "launch",
      spec: { compute: "ec2", architecture: "x86_64", instanceTypes: ["m7i.large", "m6i.large"] },
      machinesOutliveAdapter: true,
      async refuse() {
        // One machine less than was asked for, and why.
        proxy.inject("CreateFleet", {
          kind: "rewrite",
          request: (body) => body.replace("TotalTargetCapacity=3", "TotalTargetCapacity=2"),
          change: (body) => body.replace("</fleetId>", `</fleetId>${refusal}`),
        });
      },
      async seenByOthers() {
        const instances = await callEc2(client, "DescribeInstances", {});
        return JSON.stringify(instances);
      },
      async finish(providerId) {
        await callEc2(client, "TerminateInstances", { InstanceId: [providerId] });
      },
      close: () => proxy.close(),
    };
  },
  { skip: moto === "" },
);

const refusal =
  "<errorSet><item><lifecycle>on-demand</lifecycle><errorCode>InsufficientInstanceCapacity</errorCode>" +
  "<errorMessage>We currently do not have sufficient capacity.</errorMessage></item></errorSet>";

describe.skipIf(moto === "")("ec2 on the stand-in", () => {
  const client = standInClient(moto);

  it("the launch template that the infrastructure makes is one that machines are launched from", async () => {
    const templates = createEc2Templates({ client, clock: createSystemClock() });
    const good = await prepareEc2(client);
    const imageId = expect.stringMatching(/^ami-/);
    expect(await templates(good.launchTemplate)).toEqual({
      deviceNames: ["/dev/xvda"],
      diskGib: 30,
      imageId,
    });
    const stopping = await prepareEc2(client, ({ InstanceInitiatedShutdownBehavior: _, ...rest }) => rest);
    await expect(templates(stopping.launchTemplate)).rejects.toThrow(/shutdown behaviour/);
    await expect(templates("no-such-template")).rejects.toMatchObject({
      awsCode: expect.stringMatching(/NotFound/),
    });
  });

  it("images are found by id, parameter and name", async () => {
    const images = createEc2Images({ client, clock: createSystemClock() });
    const { imageId } = await prepareEc2(client);
    expect(await images(imageId, "x86_64")).toMatchObject({ id: imageId, architecture: "x86_64" });
    const input = { Name: "/mayfly/image", Value: imageId, Type: "String", Overwrite: true };
    await callJson(client, { service: "ssm", action: "PutParameter", resource: "a parameter", input });
    expect((await images("ssm:/mayfly/image", "x86_64")).id).toBe(imageId);
    expect((await images("name:amazon/al2023-ami-2023*", "x86_64")).id).toMatch(/^ami-/);
    await expect(images("name:self/al2023-ami-2023*", "x86_64")).rejects.toThrow(/no such image/);
  });

  it("the machine types that come with this version are as EC2 describes them", async () => {
    const types = ec2MachineTypes();
    const described: string[] = [];
    for (let from = 0; from < types.length; from += 100) {
      const InstanceType = types.slice(from, from + 100).map(({ name }) => name);
      const answer = await callEc2(client, "DescribeInstanceTypes", { InstanceType });
      for (const item of itemsAt(answer, "instanceTypeSet")) {
        const [architecture] = textsAt(item, "processorInfo", "supportedArchitectures").filter(
          (one) => one !== "i386",
        );
        const cpu = textAt(item, "vCpuInfo", "defaultVCpus");
        const memoryGib = Number(textAt(item, "memoryInfo", "sizeInMiB")) / 1024;
        described.push(`${textAt(item, "instanceType")} ${cpu} ${memoryGib} ${architecture}`);
      }
    }
    const known = types.map(
      ({ name, cpu, memoryGib, architecture }) => `${name} ${cpu} ${memoryGib} ${architecture}`,
    );
    expect(known.sort()).toEqual(described.sort());
    expect(types.filter(({ name, architecture }) => architectureOfType(name) !== architecture)).toEqual([]);
  });

  it("an instance and its volume bear the tags of their launch", async () => {
    const { subnets, launchTemplate } = await prepareEc2(client);
    const compute = createEc2Compute({
      client,
      clock: createSystemClock(),
      log: createMemoryLog(),
      deployment: "tagged",
      subnets,
      tags: { team: "ci" },
      presets: { "linux-x64": { launchTemplate } },
    });
    const spec = fleetSpec({ compute: "ec2", instanceTypes: ["m7i.large"] });
    await compute.launch(launchRequest(["machine-9"], { spec, purchase: "spot", repository: "acme/app" }));
    const [machine] = await compute.list();
    expect(machine).toMatchObject({ machineId: "machine-9", launchToken: "machine-9", purchase: "spot" });
    const filter = [{ Name: "resource-id", Value: [machine?.providerId ?? ""] }];
    const tags = await callEc2(client, "DescribeTags", { Filter: filter });
    expect(itemsAt(tags, "tagSet").map((tag) => `${textAt(tag, "key")}=${textAt(tag, "value")}`)).toEqual(
      expect.arrayContaining(["team=ci", "mayfly:repository=acme/app", "mayfly:deployment=tagged"]),
    );
    await compute.terminate([machine?.providerId ?? ""]);
  });
});
