import { describe, expect, it } from "vitest";
import { fleetSpec, start } from "../../../test/builders.ts";
import {
  type Ec2Answer,
  fakeEc2,
  fleetAnswer,
  imageAnswer,
  instancesAnswer,
  templateAnswer,
} from "../../../test/support/fake-ec2.ts";
import type { FleetSpec } from "../../core/model.ts";
import type { LaunchOutcome, LaunchRequest } from "../../ports/compute.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createEc2Compute } from "./ec2.ts";

const subnets = { "eu-west-1a": "subnet-a", "eu-west-1b": "subnet-b" };

function request(
  count = 1,
  changes: Partial<LaunchRequest> = {},
  spec: Partial<FleetSpec> = {},
): LaunchRequest {
  return {
    fleet: "linux-x64",
    spec: fleetSpec({ compute: "ec2", instanceTypes: ["m7i.large", "c7i.large"], ...spec }),
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

function place(script: Readonly<Record<string, readonly Ec2Answer[]>> = {}) {
  const ec2 = fakeEc2({ DescribeLaunchTemplateVersions: [templateAnswer()], ...script });
  const clock = createManualClock();
  const log = createMemoryLog();
  const options = { client: ec2.client, clock, log, deployment: "mayfly", subnets, tags: { team: "ci" } };
  return { ...ec2, clock, log, compute: createEc2Compute(options) };
}

const one = fleetAnswer([{ type: "m7i.large", subnet: "subnet-a", ids: ["i-1"] }]);
const tokenError = { status: 400, code: "IdempotentParameterMismatch", message: "Arguments differ." };

/** The parameters whose names match, without their common beginning. */
function parametersAt(parameters: URLSearchParams | undefined, beginning: string): Record<string, string> {
  const found = [...(parameters ?? [])].filter(([name]) => name.startsWith(beginning));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(beginning.length), value]));
}

function overridesOf(parameters: URLSearchParams | undefined): string[] {
  const beginning = "LaunchTemplateConfigs.1.Overrides.";
  const numbers = [...(parameters ?? [])].flatMap(
    ([name]) => /Overrides\.(\d+)\.InstanceType/.exec(name)?.[1] ?? [],
  );
  return numbers.map((number) => Object.values(parametersAt(parameters, `${beginning}${number}.`)).join(" "));
}

describe("the request", () => {
  it("is one fleet over all types and zones, with the launch's token, for a hundred machines", async () => {
    const ids = Array.from({ length: 100 }, (_, index) => `i-${index}`);
    const { compute, calls, callsOf } = place({
      CreateFleet: [fleetAnswer([{ type: "m7i.large", subnet: "subnet-a", ids }])],
    });
    const outcomes = await compute.launch(request(100));
    expect(outcomes).toHaveLength(100);
    expect(calls.map(({ action }) => action)).toEqual(["DescribeLaunchTemplateVersions", "CreateFleet"]);
    const [fleet] = callsOf("CreateFleet");
    expect(parametersAt(fleet, "TargetCapacitySpecification.")).toEqual({
      TotalTargetCapacity: "100",
      DefaultTargetCapacityType: "spot",
    });
    expect(fleet?.get("ClientToken")).toBe("linux-x64-m1");
    expect(fleet?.get("Type")).toBe("instant");
    expect(fleet?.get("SpotOptions.AllocationStrategy")).toBe("price-capacity-optimized");
    expect(parametersAt(fleet, "LaunchTemplateConfigs.1.LaunchTemplateSpecification.")).toEqual({
      LaunchTemplateName: "mayfly-linux-x64",
      Version: "$Latest",
    });
    expect(overridesOf(fleet)).toEqual([
      "m7i.large subnet-a",
      "m7i.large subnet-b",
      "c7i.large subnet-a",
      "c7i.large subnet-b",
    ]);
  });

  it.each([
    ["in their order, where the preset names them", {}, "prioritized", ["0", "0", "1", "1"]],
    ["the cheapest first, where their size chose them", { typesAlike: true }, "lowest-price", []],
  ] as const)("on demand takes types %s", async (_what, spec, strategy, priorities) => {
    const { compute, callsOf } = place({ CreateFleet: [one] });
    await compute.launch(request(1, { purchase: "on-demand" }, spec));
    const [fleet] = callsOf("CreateFleet");
    expect(fleet?.get("OnDemandOptions.AllocationStrategy")).toBe(strategy);
    expect(fleet?.has("SpotOptions.AllocationStrategy")).toBe(false);
    expect(
      [...(fleet ?? [])].filter(([name]) => name.endsWith(".Priority")).map(([, value]) => value),
    ).toEqual(priorities);
  });

  it("leaves out pools that refused, and is not made when all of them did", async () => {
    const { compute, callsOf } = place({ CreateFleet: [one] });
    await compute.launch(
      request(1, { avoidPools: ["m7i.large/eu-west-1a/spot", "c7i.large/eu-west-1b/spot"] }),
    );
    expect(overridesOf(callsOf("CreateFleet")[0])).toEqual(["m7i.large subnet-b", "c7i.large subnet-a"]);
    const avoidPools = ["m7i.large", "c7i.large"].flatMap((type) =>
      Object.keys(subnets).map((zone) => `${type}/${zone}/spot`),
    );
    const outcomes = await compute.launch(request(1, { token: "other", avoidPools }));
    expect(outcomes).toMatchObject([{ kind: "refused", failure: "capacity", code: "ALL_POOLS_AVOIDED" }]);
    expect(callsOf("CreateFleet")).toHaveLength(1);
  });

  it("tags instances and volumes with the launch, what it is for, and the user's tags, which cannot hide ours", async () => {
    const { client, clock, log, callsOf } = place({ CreateFleet: [one] });
    const tags = { team: "ci", "mayfly:launch": "not this" };
    const compute = createEc2Compute({ client, clock, log, deployment: "mayfly", subnets, tags });
    await compute.launch(request(2, { repository: "acme/app" }));
    await compute.launch(request(1, { token: "single" }));
    const tagsAt = (parameters: URLSearchParams | undefined, resource: number) => {
      const flat = parametersAt(parameters, `TagSpecification.${resource}.`);
      const number = Object.keys(flat).filter((name) => name.endsWith(".Key")).length;
      const pairs = Array.from({ length: number }, (_, index) => [
        flat[`Tag.${index + 1}.Key`],
        flat[`Tag.${index + 1}.Value`],
      ]);
      return { type: flat.ResourceType, tags: Object.fromEntries(pairs) };
    };
    const [two, single] = callsOf("CreateFleet");
    const expected = {
      team: "ci",
      Name: "mayfly linux-x64",
      "mayfly:deployment": "mayfly",
      "mayfly:fleet": "linux-x64",
      "mayfly:preset": "linux-x64",
      "mayfly:launch": "linux-x64-m1",
      "mayfly:repository": "acme/app",
    };
    expect(tagsAt(two, 1)).toEqual({ type: "instance", tags: expected });
    expect(tagsAt(two, 2)).toEqual({ type: "volume", tags: expected });
    expect(tagsAt(single, 1).tags).toMatchObject({ Name: "linux-x64-m1", "mayfly:machine": "linux-x64-m1" });
  });

  it("is the same to the letter when it is repeated: EC2 would take another for a mistake", async () => {
    const { compute, callsOf } = place({
      CreateFleet: [{ status: 503, code: "Unavailable", message: "Later." }, one],
    });
    await expect(compute.launch(request(3))).rejects.toMatchObject({ kind: "retry" });
    await compute.launch(request(3, { attempt: 2 }));
    const [first, second] = callsOf("CreateFleet");
    expect(second?.toString()).toBe(first?.toString());
  });

  it("carries nothing of a machine: neither user data nor a credential", async () => {
    const { compute, callsOf } = place({ CreateFleet: [one] });
    await compute.launch(request(1));
    expect(callsOf("CreateFleet")[0]?.toString()).not.toMatch(/UserData|credential/i);
  });
});

describe("the answer", () => {
  it("names the pool of each instance, and no machine", async () => {
    const { compute } = place({
      CreateFleet: [
        fleetAnswer([
          { type: "m7i.large", subnet: "subnet-b", ids: ["i-1", "i-2"] },
          { type: "c7i.large", subnet: "subnet-a", ids: ["i-3"] },
        ]),
      ],
    });
    expect(await compute.launch(request(3))).toEqual([
      { kind: "launched", providerId: "i-1", pool: "m7i.large/eu-west-1b/spot", purchase: "spot" },
      { kind: "launched", providerId: "i-2", pool: "m7i.large/eu-west-1b/spot", purchase: "spot" },
      { kind: "launched", providerId: "i-3", pool: "c7i.large/eu-west-1a/spot", purchase: "spot" },
    ]);
  });

  it("peer: errors are of pools, and do not count as missing machines", async () => {
    const { compute } = place({
      CreateFleet: [
        fleetAnswer(
          [{ type: "m7i.large", subnet: "subnet-a", ids: ["i-1", "i-2"] }],
          [
            {
              type: "m7i.large",
              subnet: "subnet-b",
              code: "InsufficientInstanceCapacity",
              message: "none here",
            },
            {
              type: "c7i.large",
              subnet: "subnet-b",
              code: "InsufficientInstanceCapacity",
              message: "none here",
            },
          ],
        ),
      ],
    });
    const outcomes = await compute.launch(request(2));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["launched", "launched", "pools-refused"]);
    expect(outcomes[2]).toEqual({
      kind: "pools-refused",
      failure: "capacity",
      code: "InsufficientInstanceCapacity",
      message: "None here.",
      pools: ["m7i.large/eu-west-1b/spot", "c7i.large/eu-west-1b/spot"],
    });
  });

  it.each([
    ["InsufficientInstanceCapacity", "capacity"],
    ["UnfulfillableCapacity", "capacity"],
    ["InsufficientFreeAddressesInSubnet", "capacity"],
    ["MaxSpotInstanceCountExceeded", "quota"],
    ["VcpuLimitExceeded", "quota"],
    ["RequestLimitExceeded", "throttle"],
    ["InternalError", "transient"],
    ["InvalidAMIID.NotFound", "configuration"],
    ["AuthFailure.ServiceLinkedRoleCreationNotPermitted", "configuration"],
  ])("peer: %s inside of a 200 is not lost, whatever it is: %s", async (code, failure) => {
    const entry = { type: "m7i.large", subnet: "subnet-a" };
    const { compute } = place({
      CreateFleet: [fleetAnswer([{ ...entry, ids: ["i-1"] }], [{ ...entry, code }])],
    });
    const outcomes = await compute.launch(request(3));
    const refused = outcomes.filter(({ kind }) => kind === "refused");
    expect(refused).toEqual([expect.objectContaining({ failure, code })]);
    expect((refused[0] as { message: string }).message).toMatch(/^EC2 gave 1 of 3 machines: No\./);
  });

  it("that falls short says whether there are pools which did not refuse", async () => {
    const refusedBy = async (refusing: readonly string[], avoidPools: readonly string[] = []) => {
      const errors = refusing.map((pool) => {
        const [type = "", subnet = ""] = pool.split(" ");
        return { type, subnet, code: "InsufficientInstanceCapacity" };
      });
      const { compute } = place({ CreateFleet: [fleetAnswer([], errors)] });
      const outcomes = await compute.launch(request(1, { avoidPools }));
      return outcomes.find(({ kind }) => kind === "refused");
    };
    const three = ["m7i.large subnet-a", "m7i.large subnet-b", "c7i.large subnet-a"];
    expect(await refusedBy(three)).toMatchObject({
      pools: ["m7i.large/eu-west-1a/spot", "m7i.large/eu-west-1b/spot", "c7i.large/eu-west-1a/spot"],
      othersLeft: true,
    });
    expect(await refusedBy([...three, "c7i.large subnet-b"])).not.toHaveProperty("othersLeft");
    expect(await refusedBy(three, ["c7i.large/eu-west-1b/spot"])).not.toHaveProperty("othersLeft");
  });

  it("is spoken for by what may pass by itself, so that nothing dearer is bought on its account", async () => {
    const codes = [
      "InvalidParameterValue",
      "InsufficientInstanceCapacity",
      "VcpuLimitExceeded",
      "RequestLimitExceeded",
    ];
    const spokenBy = async (some: readonly string[]) => {
      const errors = some.map((code) => ({ type: "m7i.large", subnet: "subnet-a", code }));
      const { compute } = place({ CreateFleet: [fleetAnswer([], errors)] });
      return (await compute.launch(request(1))).find(({ kind }) => kind === "refused");
    };
    for (let length = 1; length <= codes.length; length++) {
      expect(await spokenBy(codes.slice(0, length))).toMatchObject({ code: codes[length - 1] });
    }
  });

  it("that says no more than which fleet it was is asked for again, in full", async () => {
    const { compute, callsOf } = place({
      CreateFleet: [fleetAnswer([])],
      DescribeFleets: [`<fleetSet><item>${one}</item></fleetSet>`],
    });
    expect(await compute.launch(request(1, { attempt: 2 }))).toMatchObject([{ providerId: "i-1" }]);
    expect(callsOf("DescribeFleets")[0]?.get("FleetId.1")).toBe("fleet-1");
  });

  it("that gives nothing and no reason ends the launch", async () => {
    const { compute } = place({ CreateFleet: [fleetAnswer([])], DescribeFleets: ["<fleetSet/>"] });
    expect(await compute.launch(request(2))).toEqual([
      expect.objectContaining({ kind: "refused", failure: "transient", code: "EC2_LAUNCH_SPENT" }),
    ]);
  });
});

describe("a call that is refused", () => {
  const refusedWith = async (
    code: string,
    message: string,
    status = 400,
  ): Promise<readonly LaunchOutcome[]> =>
    place({ CreateFleet: [{ status, code, message }] }).compute.launch(request(2));

  it("for capacity, names every pool that was asked", async () => {
    expect(await refusedWith("InsufficientInstanceCapacity", "None.", 500)).toMatchObject([
      {
        kind: "refused",
        failure: "capacity",
        pools: [
          "m7i.large/eu-west-1a/spot",
          "m7i.large/eu-west-1b/spot",
          "c7i.large/eu-west-1a/spot",
          "c7i.large/eu-west-1b/spot",
        ],
      },
    ]);
  });

  it("for quota, names no pool", async () => {
    expect(await refusedWith("MaxSpotInstanceCountExceeded", "Max.")).toMatchObject([
      { failure: "quota", pools: [] },
    ]);
  });

  it("because it is not allowed, says which permission is missing", async () => {
    const [refused] = await refusedWith(
      "UnauthorizedOperation",
      "You are not authorized to perform: ec2:CreateFleet.",
    );
    expect(refused).toMatchObject({ failure: "configuration", code: "UnauthorizedOperation" });
    expect((refused as { message: string }).message).toMatch(/Add ec2:CreateFleet on .* to the policy/);
  });

  it("because spot's own role is missing, says how it is made", async () => {
    const [refused] = await refusedWith("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "No role.", 403);
    expect((refused as { message: string }).message).toContain("create-service-linked-role");
  });

  it("by a code that nobody knows ends the launch, and buys nothing dearer", async () => {
    expect(await refusedWith("SomethingNew", "What is this?")).toMatchObject([
      { failure: "transient", code: "SomethingNew" },
    ]);
  });

  it("because it is throttled is asked for again with the same token, later", async () => {
    await expect(refusedWith("RequestLimitExceeded", "Slower.", 503)).rejects.toMatchObject({
      kind: "wait",
      code: "EC2_THROTTLED",
      retryAt: start + 10_000,
    });
  });

  it("by a failure of EC2 is asked for again with the same token", async () => {
    await expect(refusedWith("InternalError", "Oops.", 500)).rejects.toMatchObject({ kind: "retry" });
  });
});

describe("a launch in doubt", () => {
  it("peer: a token that was used with another request leads to what it launched, not to a second launch", async () => {
    const { compute, callsOf } = place({
      CreateFleet: [tokenError],
      DescribeInstances: [instancesAnswer([{ id: "i-1" }, { id: "i-2" }])],
    });
    expect(await compute.launch(request(3, { attempt: 2 }))).toMatchObject([
      { kind: "launched", providerId: "i-1", pool: "m7i.large/eu-west-1a/spot", purchase: "spot" },
      { kind: "launched", providerId: "i-2" },
    ]);
    const [look] = callsOf("DescribeInstances");
    expect(look?.get("Filter.2.Value.1")).toBe("linux-x64-m1");
    expect([...(look ?? [])].map(([, value]) => value)).not.toContain("terminated");
  });

  it("is looked for until it is found, and believed over when it never is", async () => {
    const { compute } = place({ CreateFleet: [tokenError], DescribeInstances: [instancesAnswer([])] });
    const launch = (attempt: number) => compute.launch(request(1, { attempt }));
    await expect(launch(1)).rejects.toMatchObject({ kind: "retry", code: "EC2_LAUNCH_IN_DOUBT" });
    await expect(launch(2)).rejects.toMatchObject({ code: "EC2_LAUNCH_IN_DOUBT" });
    expect(await launch(3)).toMatchObject([{ kind: "refused", code: "EC2_LAUNCH_SPENT" }]);
  });

  it("is one call for whoever asks at the same time", async () => {
    const { compute, callsOf } = place({ CreateFleet: [one] });
    const [first, second] = await Promise.all([compute.launch(request()), compute.launch(request())]);
    expect(first).toBe(second);
    expect(callsOf("CreateFleet")).toHaveLength(1);
  });
});

describe("the wrong machine is not launched", () => {
  it.each<[string, Partial<FleetSpec>, string]>([
    [
      "peer: another processor than the preset's",
      { instanceTypes: ["c7g.large", "m7i.large"] },
      "WRONG_ARCHITECTURE",
    ],
    ["the same the other way round", { architecture: "arm64" }, "WRONG_ARCHITECTURE"],
    ["peer: another system", { operatingSystem: "windows" }, "WRONG_SYSTEM"],
    ["neither a type nor a size", { instanceTypes: [] }, "NO_INSTANCE_TYPE"],
  ])("%s", async (_what, spec, code) => {
    const { compute, calls } = place();
    expect(await compute.launch(request(1, {}, spec))).toMatchObject([
      { kind: "refused", failure: "configuration", code },
    ]);
    expect(calls).toEqual([]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      "peer: one that stops instead of terminating",
      { instanceInitiatedShutdownBehavior: "stop" },
      /shutdown behaviour/,
    ],
    ["peer: one whose metadata is open to all", { metadataOptions: "" }, /IMDSv2.*hop limit/],
    ["peer: one without user data, which never registers", { userData: "" }, /no user data/],
    ["one that cannot prove who it is", { iamInstanceProfile: "" }, /no instance profile/],
    [
      "peer: one whose volume is not encrypted",
      { blockDeviceMappingSet: "<item><deviceName>/dev/xvda</deviceName><ebs/></item>" },
      /\/dev\/xvda is not encrypted/,
    ],
    ["one of whose volume nothing is said", { blockDeviceMappingSet: "" }, /maps no root volume/],
  ])("%s", async (_what, change, problem) => {
    const { compute, callsOf } = place({ DescribeLaunchTemplateVersions: [templateAnswer(change)] });
    const [refused] = await compute.launch(request());
    expect(refused).toMatchObject({ failure: "configuration", code: "EC2_LAUNCH_TEMPLATE_UNUSABLE" });
    expect((refused as { message: string }).message).toMatch(problem);
    expect(callsOf("CreateFleet")).toEqual([]);
  });

  it("a launch template is looked at once in a while, and after a failure at once", async () => {
    const failed = { status: 500, code: "InternalError", message: "Oops." };
    const { compute, callsOf, clock } = place({
      DescribeLaunchTemplateVersions: [failed, templateAnswer()],
      CreateFleet: [one],
    });
    const launch = (token: string) => compute.launch(request(1, { token }));
    await expect(launch("a")).rejects.toMatchObject({ kind: "retry" });
    await launch("b");
    await launch("c");
    expect(callsOf("DescribeLaunchTemplateVersions")).toHaveLength(2);
    await clock.advance(600_000);
    await launch("d");
    expect(callsOf("DescribeLaunchTemplateVersions")).toHaveLength(3);
  });
});

describe("the volume", () => {
  const volumesOf = async (spec: Partial<FleetSpec>, image?: Parameters<typeof imageAnswer>[0][number]) => {
    const { compute, callsOf } = place({
      CreateFleet: [one],
      DescribeImages: [imageAnswer(image === undefined ? [] : [image])],
    });
    const outcomes = await compute.launch(
      request(1, {}, { ...spec, ...(image !== undefined && { image: image.id }) }),
    );
    expect(outcomes[0]?.kind).toBe("launched");
    const [fleet] = callsOf("CreateFleet");
    return parametersAt(fleet, "LaunchTemplateConfigs.1.Overrides.1.BlockDeviceMapping.");
  };
  const ami = { id: "ami-0123456789abcdef0" };

  it("is the launch template's, where nothing else is asked for", async () => {
    expect(await volumesOf({})).toEqual({});
    expect(await volumesOf({ diskGib: 30 })).toEqual({});
    expect(await volumesOf({}, ami)).toEqual({});
  });

  it("is as large as the job asks, and encrypted", async () => {
    expect(await volumesOf({ diskGib: 200 })).toEqual({
      "1.DeviceName": "/dev/xvda",
      "1.Ebs.VolumeSize": "200",
      "1.Ebs.VolumeType": "gp3",
      "1.Ebs.Encrypted": "true",
      "1.Ebs.DeleteOnTermination": "true",
    });
  });

  it("peer: is the image's root volume, not a second one beside it", async () => {
    expect(await volumesOf({ diskGib: 100 }, { ...ami, device: "/dev/sda1" })).toMatchObject({
      "1.DeviceName": "/dev/sda1",
      "1.Ebs.VolumeSize": "100",
      "1.Ebs.Encrypted": "true",
      "2.DeviceName": "/dev/xvda",
      "2.NoDevice": "",
    });
    expect(await volumesOf({}, { ...ami, device: "/dev/sda1" })).toMatchObject({ "1.Ebs.VolumeSize": "30" });
  });

  it("is never smaller than the image, which EC2 would refuse", async () => {
    expect(await volumesOf({ diskGib: 10 }, { ...ami, sizeGib: 75 })).toMatchObject({
      "1.Ebs.VolumeSize": "75",
    });
  });
});

describe("what is listed", () => {
  const tags = {
    "mayfly:deployment": "mayfly",
    "mayfly:fleet": "linux-x64/cpu=4",
    "mayfly:preset": "linux-x64",
    "mayfly:launch": "linux-x64-m1",
  };

  it("is of this deployment, page by page, in every state", async () => {
    const { compute, callsOf } = place({
      DescribeInstances: [
        instancesAnswer(
          [
            { id: "i-1", tags },
            { id: "i-2", tags, state: "stopped" },
          ],
          "more",
        ),
        instancesAnswer([{ id: "i-3", tags: { ...tags, "mayfly:machine": "linux-x64-m1" } }]),
      ],
    });
    const listed = await compute.list();
    expect(listed.map(({ providerId }) => providerId)).toEqual(["i-1", "i-2", "i-3"]);
    expect(listed[0]).toEqual({
      providerId: "i-1",
      launchToken: "linux-x64-m1",
      fleet: "linux-x64/cpu=4",
      preset: "linux-x64",
      launchedAt: start,
      purchase: "spot",
    });
    expect(listed[2]).toMatchObject({ machineId: "linux-x64-m1" });
    const [first, second] = callsOf("DescribeInstances");
    expect(first?.get("Filter.1.Name")).toBe("tag:mayfly:deployment");
    expect(first?.has("NextToken")).toBe(false);
    expect(second?.get("NextToken")).toBe("more");
  });

  it.each([
    ["Server.SpotInstanceTermination", true, /SpotInstanceTermination/],
    ["Server.SpotInstanceShutdown", true, /SpotInstanceShutdown/],
    [
      "Server.InsufficientInstanceCapacity",
      false,
      /InsufficientInstanceCapacity.*What EC2 says|what EC2 says/,
    ],
    ["Client.InternalError", false, /key of an encrypted volume/],
    ["Client.InstanceInitiatedShutdown", false, /^EC2 says that the instance is terminated\.$/],
    ["Client.UserInitiatedShutdown", false, /^EC2 says that the instance is terminated\.$/],
  ])("says of one that has ended why: %s", async (reason, takenBack, detail) => {
    const { compute } = place({
      DescribeInstances: [instancesAnswer([{ id: "i-1", tags, state: "terminated", reason }])],
    });
    const [listed] = await compute.list();
    expect(listed?.ended).toEqual({ detail: expect.stringMatching(detail), takenBack });
  });
});

describe("termination", () => {
  const terminated = (...ids: readonly string[]) =>
    `<instancesSet>${ids
      .map(
        (id) =>
          `<item><instanceId>${id}</instanceId><currentState><name>shutting-down</name></currentState></item>`,
      )
      .join("")}</instancesSet>`;
  const ids = ["i-00000001", "i-00000002", "i-00000003"];

  it("is done in batches, and asks nothing of what cannot be an instance", async () => {
    const many = Array.from({ length: 250 }, (_, index) => `i-${String(index).padStart(8, "0")}`);
    const { compute, callsOf } = place({ TerminateInstances: [terminated(...many)] });
    const outcomes = await compute.terminate([...many, "../../etc", ""]);
    expect(outcomes.filter(({ kind }) => kind === "terminating")).toHaveLength(250);
    expect(outcomes.slice(-2).map(({ kind }) => kind)).toEqual(["absent", "absent"]);
    expect(callsOf("TerminateInstances").map((call) => [...call].length - 2)).toEqual([100, 100, 50]);
  });

  it("peer: one id that EC2 has forgotten does not keep the others alive", async () => {
    const unknown = {
      status: 400,
      code: "InvalidInstanceID.NotFound",
      message: "The instance IDs 'i-00000001, i-00000003' do not exist",
    };
    const { compute, callsOf } = place({ TerminateInstances: [unknown, terminated("i-00000002")] });
    expect((await compute.terminate(ids)).map(({ kind }) => kind)).toEqual([
      "absent",
      "terminating",
      "absent",
    ]);
    expect(callsOf("TerminateInstances")).toHaveLength(2);
  });

  it("finds the bad one among many when EC2 does not say which it is", async () => {
    const unknown = { status: 400, code: "InvalidInstanceID.NotFound", message: "It does not exist" };
    const { compute } = place({
      TerminateInstances: [unknown, terminated("i-00000001", "i-00000002"), unknown],
    });
    expect((await compute.terminate(ids)).map(({ kind }) => kind)).toEqual([
      "terminating",
      "terminating",
      "absent",
    ]);
  });

  it("takes one that is protected for not gone yet, says so, and terminates the others", async () => {
    const isProtected = {
      status: 400,
      code: "OperationNotPermitted",
      message: "The instance 'i-00000002' may not be terminated.",
    };
    const { compute, log } = place({
      TerminateInstances: [isProtected, terminated("i-00000001", "i-00000003")],
    });
    expect((await compute.terminate(ids)).map(({ kind }) => kind)).toEqual([
      "terminating",
      "terminating",
      "terminating",
    ]);
    expect(log.text()).toContain("An instance refuses to be terminated.");
  });

  const denied = { status: 403, code: "UnauthorizedOperation", message: "No." };

  it("that is not allowed is said, not halved and tried again", async () => {
    const { compute, callsOf } = place({
      TerminateInstances: [denied],
      DescribeInstances: [instancesAnswer(ids.map((id) => ({ id })))],
    });
    await expect(compute.terminate(ids)).rejects.toMatchObject({ kind: "operator" });
    expect(callsOf("TerminateInstances")).toHaveLength(1);
  });

  it("one that has lost its tag, as it is gone, does not keep the others alive", async () => {
    const { compute, callsOf } = place({
      TerminateInstances: [denied, terminated("i-00000002", "i-00000003")],
      DescribeInstances: [instancesAnswer([{ id: "i-00000002" }, { id: "i-00000003" }])],
    });
    expect((await compute.terminate(ids)).map(({ kind }) => kind)).toEqual([
      "absent",
      "terminating",
      "terminating",
    ]);
    const [looked] = callsOf("DescribeInstances");
    expect(Object.values(parametersAt(looked, "Filter.1."))).toEqual(["instance-id", ...ids]);
    // EC2 lists what is terminated for a while.
    expect(Object.values(parametersAt(looked, "Filter.2."))).not.toContain("terminated");
    expect(Object.values(parametersAt(callsOf("TerminateInstances")[1], "InstanceId."))).toEqual(
      ids.slice(1),
    );
  });

  it("of what is gone, all of it, ends without another call", async () => {
    const { compute, callsOf } = place({
      TerminateInstances: [denied],
      DescribeInstances: [instancesAnswer([])],
    });
    expect(await compute.terminate(["i-00000001"])).toEqual([{ providerId: "i-00000001", kind: "absent" }]);
    expect(callsOf("TerminateInstances")).toHaveLength(1);
  });
});
