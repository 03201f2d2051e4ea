import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { typesThatFit } from "../core/machine-types.ts";
import { routeJob } from "../core/route.ts";
import { problemText } from "./explain.ts";
import { fargateMachineTypes, nearestFargateSize } from "./fargate-sizes.ts";
import { checkConfig } from "./load.ts";

/** A configuration with one preset on Fargate, of which these lines are different. */
function check(preset: string, more = "") {
  const text = [
    "github: { appId: 7 }",
    "presets:",
    "  tasks:",
    "    architecture: x86_64",
    "    compute: fargate",
    ...preset.split("\n").map((line) => `    ${line}`),
    more,
  ].join("\n");
  const checked = checkConfig(text, { path: "mayfly.yaml", environment: {} });
  return { ...checked, problems: checked.problems.map(problemText) };
}

const image = "image: ubuntu:24.04";

describe("a preset on Fargate", () => {
  test.each([
    ["names a size", `cpu: 1\nram: 2\n${image}`],
    ["or half of one", `cpu: 0.25\n${image}`],
    ["or only memory", `ram: 30\n${image}`],
    ["a disk", `cpu: 1\n${image}\ndiskGib: 200`],
    [
      "subnets and a shell",
      `cpu: 1\n${image}\nfargate: { subnets: [subnet-0123456789abcdef0], shell: true }`,
    ],
  ])("%s", (_what, preset) => expect(check(preset).problems).toEqual([]));

  test.each([
    ["a size that no task has", `cpu: 1\nram: 1\n${image}`, /cpu .*together with ram.*cpu: 1, ram: 2\.$/],
    ["memory between two sizes", `cpu: 8\nram: 18\n${image}`, /The nearest is cpu: 8, ram: 20\.$/],
    ["processors that none has", `cpu: 3\n${image}`, /cpu is no size.*cpu: 4, ram: 8\.$/],
    ["more than any has", `cpu: 32\nram: 1\n${image}`, /The nearest is cpu: 16, ram: 120\.$/],
    ["no size", image, /cpu is missing, and so is ram/],
    ["machine types", `cpu: 1\n${image}\ninstanceTypes: [m7i.large]`, /instanceTypes has no meaning/],
    ["no image", "cpu: 1", /image is missing/],
    ["an image of machines", "cpu: 1\nimage: ami-0123456789abcdef0", /must be a container image/],
    ["an image of a pipeline", "cpu: 1\nimage: { pipeline: default }", /must be a container image/],
    ["a disk that is too small", `cpu: 1\n${image}\ndiskGib: 20`, /from 21 to 200/],
    ["a disk that is too large", `cpu: 1\n${image}\ndiskGib: 201`, /from 21 to 200/],
    ["another system", `cpu: 1\n${image}\nsystem: windows`, /must be linux/],
    ["settings of EC2", `cpu: 1\n${image}\nec2: { launchTemplate: x }`, /ec2 has no effect/],
  ])("is refused with %s", (_what, preset, sentence) => {
    expect(check(preset).problems).toEqual([expect.stringMatching(sentence)]);
  });

  it("has classes that its tasks can have", () => {
    const odd = "labels: { classes: { odd: { cpu: 1024, memory: 1024 }, good: { cpu: 256, memory: 512 } } }";
    expect(check(`cpu: 1\n${image}`, odd).problems).toEqual([
      expect.stringMatching(/labels\.classes\.odd is no size.*\{ cpu: 1024, memory: 2048 \}/),
    ]);
  });
});

describe("jobs of the other system's workflows", () => {
  const policy = check(`cpu: 0.25\n${image}`, "images: { allow: ['*'], deny: ['*/evil*'] }").loaded?.policy;
  if (policy === undefined) throw new Error("The configuration is not valid.");

  it("get the size and the image that they name", () => {
    const route = routeJob(["self-hosted", "class:medium", "image:ubuntu:22.04"], policy);
    expect(route).toMatchObject({
      kind: "routed",
      record: {
        id: "tasks/cpu=1,image=ubuntu:22.04,memoryGib=2",
        spec: { image: "ubuntu:22.04", instanceTypes: ["fargate-1024-2048"], cpu: 1, memoryGib: 2 },
      },
    });
  });

  it("E7: need not name any", () => {
    expect(routeJob(["self-hosted"], policy)).toMatchObject({
      record: { spec: { image: "ubuntu:24.04", instanceTypes: ["fargate-256-512"] } },
    });
  });

  it("E10: get no image that is denied, or that is no reference", () => {
    for (const reference of ["docker.io/evil/image:1", "--privileged", "a b", "$(id)"]) {
      const route = routeJob([`image:${reference}`], policy);
      expect(route).toMatchObject({ kind: "refused", because: "image-not-allowed" });
    }
    const careful = check(`cpu: 1\n${image}`).loaded?.policy;
    if (careful === undefined) throw new Error("The configuration is not valid.");
    expect(routeJob(["image:alpine:3"], careful)).toMatchObject({ because: "image-not-allowed" });
    expect(routeJob(["image:ubuntu:24.04"], careful)).toMatchObject({ kind: "routed" });
  });

  it("E19: have no Docker, which explain says", () => {
    expect(policy.presets[0]?.limitation).toMatch(/no Docker.*`container:` and `services:` fail/);
  });

  it("are told which classes there are", () => {
    const route = routeJob(["class:huge"], policy);
    expect(route).toMatchObject({ kind: "refused", detail: expect.stringContaining("small, medium, large") });
  });

  it("of a container's image go past presets whose images are of machines", () => {
    const two = check(`cpu: 1\n${image}`, "images: { allow: ['*'] }").loaded?.policy;
    const [tasks] = two?.presets ?? [];
    if (two === undefined || tasks === undefined) throw new Error("The configuration is not valid.");
    const machines = { ...tasks, name: "machines", compute: "ec2", imageKind: "machine" } as const;
    const both = { ...two, presets: [machines, tasks] };
    const presetOf = (label: string) => {
      const route = routeJob(["self-hosted", label], both);
      return route.kind === "routed" ? route.preset.name : route.kind;
    };
    expect(presetOf("image:ubuntu:22.04")).toBe("tasks");
    expect(presetOf("image:ami-0123456789abcdef0")).toBe("machines");
    expect(presetOf("class:small")).toBe("machines");
  });
});

describe("the sizes of Fargate", () => {
  it("are those that AWS documents", () => {
    expect(fargateMachineTypes()).toHaveLength(2 * (3 + 4 + 7 + 13 + 23 + 12 + 12));
    expect(nearestFargateSize({ cpu: 4, memoryGib: 31 })).toEqual({ cpu: 8, memoryGib: 32 });
  });

  it("fit what is asked for: the smallest one, and no other in its place", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 20, noNaN: true }),
        fc.double({ min: 0.1, max: 130 }),
        (cpu, ram) => {
          const wish = { architecture: "arm64", cpu, memoryGib: ram } as const;
          const [name, ...others] = typesThatFit(fargateMachineTypes(), wish);
          expect(others).toEqual([]);
          const size = nearestFargateSize({ cpu, memoryGib: ram }) ?? { cpu, memoryGib: ram };
          const fits = size.cpu >= cpu && size.memoryGib >= ram;
          const expected = `fargate-arm64-${size.cpu * 1024}-${size.memoryGib * 1024}`;
          expect(name).toBe(fits ? expected : undefined);
        },
      ),
    );
  });
});

it("a preset on Fargate that promises Docker by its labels is warned of", () => {
  const { problems, warnings } = check(`cpu: 1\n${image}\nlabels: [linux, Docker]`);
  expect(problems).toEqual([]);
  expect(warnings.map(problemText)).toEqual([expect.stringContaining("Give Docker to a preset on EC2.")]);
  expect(check(`cpu: 1\n${image}\nlabels: [linux, docker-free]`).warnings).toEqual([]);
});
