import { describe, expect, test } from "vitest";
import { routeJob } from "../core/route.ts";
import { problemText } from "./explain.ts";
import { checkConfig } from "./load.ts";

/** A configuration with one preset on EC2, of which these lines are different. */
function check(preset: string, more = "") {
  const text = [
    "github: { appId: 7 }",
    "presets:",
    "  linux:",
    "    architecture: x86_64",
    "    compute: ec2",
    ...preset.split("\n").map((line) => `    ${line}`),
    more,
  ].join("\n");
  const checked = checkConfig(text, { path: "mayfly.yaml", environment: {} });
  return { ...checked, problems: checked.problems.map(problemText) };
}

describe("a preset on EC2", () => {
  test.each([
    ["names types", "instanceTypes: [m7i.large, g6.xlarge]"],
    ["or a size", "cpu: 4"],
    ["or only memory", "ram: 16"],
    ["an image by id", "cpu: 2\nimage: ami-0123456789abcdef0"],
    ["by parameter", "cpu: 2\nimage: { ssm: /mayfly/image }"],
    ["the newest of a name", "cpu: 2\nimage: { name: al2023-ami-2023.*, owner: amazon }"],
    [
      "a template and subnets of its own",
      "cpu: 2\nec2: { launchTemplate: mine, subnets: { eu-west-1a: subnet-0123456789abcdef0 } }",
    ],
  ])("%s", (_what, preset) => {
    expect(check(preset).problems).toEqual([]);
  });

  test.each<[string, string, RegExp]>([
    ["neither types nor a size", "max: 3", /instanceTypes is missing, and so are cpu and ram/],
    ["a size that no type has", "cpu: 500", /cpu is more than any known machine type has/],
    [
      "a type of another architecture",
      "instanceTypes: [m7i.large, c7g.large]",
      /instanceTypes\.1 is a machine type of arm64, and the preset is x86_64/,
    ],
    ["a type in capitals", "instanceTypes: [M7i.large]", /is written m7i\.large/],
    ["another system", "cpu: 2\nsystem: windows", /system must be linux/],
    ["an image of a container", "cpu: 2\nimage: ubuntu:24.04", /image is no image of EC2/],
    [
      "a zone that is none",
      "cpu: 2\nec2: { subnets: { here: subnet-0123456789abcdef0 } }",
      /is not a valid name/,
    ],
    ["a subnet that is none", "cpu: 2\nec2: { subnets: { eu-west-1a: net-1 } }", /is not valid/],
    [
      "a setting of another compute",
      "cpu: 2\ndocker: { user: runner }",
      /docker has no effect, because compute is ec2/,
    ],
  ])("%s is a problem", (_what, preset, problem) => {
    expect(check(preset).problems).toEqual([expect.stringMatching(problem)]);
  });

  test("its settings reach the adapter", () => {
    const { loaded } = check(
      "cpu: 2\nec2: { launchTemplate: lt-0123456789abcdef0 }\nimage: { name: mine-*, owner: self }",
    );
    expect(loaded?.config.compute.linux?.ec2).toEqual({ launchTemplate: "lt-0123456789abcdef0" });
    expect(loaded?.policy.presets[0]?.image).toBe("name:self/mine-*");
  });
});

describe("other spellings", () => {
  test.each([
    ["spotOnly", "spot-only"],
    ["spotPreferred", "spot-preferred"],
    ["onDemandOnly", "on-demand-only"],
    ["on-demand-only", "on-demand-only"],
  ])("the market %s is %s", (spelled, market) => {
    expect(check(`cpu: 2\nmarket: ${spelled}`).loaded?.policy.presets[0]?.market).toBe(market);
  });

  test.each([
    "instanceTypes: [m7i.large]",
    "instanceType: m7i.large",
    "instance_types: [m7i.large]",
    "instance_type: m7i.large",
  ])("a mapping with %s", (spelled) => {
    const mapping = `labels: { mappings: [{ label: big, ${spelled}, ami: ami-0123456789abcdef0, market: spotOnly }] }`;
    const { loaded, problems } = check("cpu: 2", mapping);
    expect(problems).toEqual([]);
    expect(loaded?.policy.labelMappings).toEqual([
      { label: "big", instanceTypes: ["m7i.large"], image: "ami-0123456789abcdef0", market: "spot-only" },
    ]);
  });

  test("two spellings of one thing, and a mapping to the wrong processor, are problems", () => {
    const twice = "labels: { mappings: [{ label: big, instance_type: a.large, instanceTypes: [b.large] }] }";
    expect(check("cpu: 2", twice).problems).toEqual([
      expect.stringMatching(/instance_type and instanceTypes say the same/),
    ]);
    const wrong = "labels: { mappings: [{ label: big, preset: linux, instance_type: c7g.large }] }";
    expect(check("cpu: 2", wrong).problems).toEqual([
      expect.stringMatching(/maps to c7g\.large, which is a machine type of arm64/),
    ]);
  });
});

test("peer: a type that is a label by itself gets that type, and no other", () => {
  const { loaded } = check("cpu: 2");
  const route = routeJob(["self-hosted", "c6i.4xlarge"], loaded!.policy);
  expect(route.kind === "routed" && route.record).toMatchObject({
    id: "linux/instanceTypes=c6i.4xlarge",
    spec: { instanceTypes: ["c6i.4xlarge"], cpu: 2 },
  });
});

test("types that jobs may choose can be limited, or forbidden", () => {
  const { loaded } = check("cpu: 2", "instanceTypes: { allow: [m7i.*] }");
  expect(routeJob(["self-hosted", "m7i.xlarge"], loaded!.policy).kind).toBe("routed");
  for (const label of ["c7i.large", "mayfly/linux/type=c7i.large"]) {
    expect(routeJob(["self-hosted", label], loaded!.policy)).toMatchObject({ because: "type-not-allowed" });
  }
  const none = check("cpu: 2", "instanceTypes: { allow: [] }").loaded;
  expect(routeJob(["m7i.large"], none!.policy)).toMatchObject({ because: "type-not-allowed" });
});

test("the catalogue is there only where somebody needs it", () => {
  expect(Object.keys(check("cpu: 2").loaded?.policy.machineTypes ?? {})).toEqual(["ec2"]);
  const box = "github: { appId: 7 }\nsecrets: { webhookSecret: { file: a }, appPrivateKey: { file: b } }\n";
  const local = checkConfig(`${box}presets: { small: { architecture: arm64, compute: local } }`, {
    path: "m",
    environment: {},
  });
  expect(local.loaded?.policy.machineTypes).toEqual({});
});

describe("a pipeline of images", () => {
  const preset = "cpu: 2\nimage: { pipeline: tools }";

  test("that is described here builds the image of its presets; another one is made by others", () => {
    const builds = (more: string) => {
      const { loaded, problems } = check(preset, more);
      expect(problems).toEqual([]);
      return loaded?.policy.presets[0];
    };
    expect(builds("images: { pipelines: { tools: {} } }")).toMatchObject({
      image: "pipeline:tools",
      buildsImages: true,
    });
    expect(builds("images: { pipelines: { others: {} } }")).not.toHaveProperty("buildsImages");
    expect(builds("")).not.toHaveProperty("buildsImages");
  });

  test.each([
    ["tools: { system: debian-13 }", /system/],
    ["tools: { without: [docker, rust] }", /without/],
    ["tools: { without: [runner] }", /without/],
    [`tools: { dockerImages: ["a b"] }`, /dockerImages/],
    ["a_b: {}", /a_b/],
    ["tools: { diskGib: 5 }", /diskGib/],
  ])("%s is refused", (pipelines, sentence) => {
    expect(check(preset, `images: { pipelines: { ${pipelines} } }`).problems.join()).toMatch(sentence);
  });
});
