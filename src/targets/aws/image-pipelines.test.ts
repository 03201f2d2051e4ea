import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { policy, preset } from "../../../test/builders.ts";
import type { ImagePipelineSettings } from "../../config/config.ts";
import { imagePipelines, pipelineRecipes } from "./image-pipelines.ts";

const usual: ImagePipelineSettings = {
  system: "amazon-linux-2023",
  diskGib: 30,
  dockerImages: [],
  without: [],
};
const onEc2 = (overrides: object = {}) => preset({ compute: "ec2", image: "pipeline:tools", ...overrides });

function pipelines(settings: Partial<ImagePipelineSettings> = {}, presets = [onEc2()], version = "0.1.0") {
  const config = { pipelines: { tools: { ...usual, ...settings }, unused: usual } };
  return imagePipelines({ config, policy: policy({ presets }) }, version);
}

describe("a pipeline of images", () => {
  it("is there for each processor that a preset wants it for, and once only", () => {
    const presets = [
      onEc2(),
      onEc2({ name: "second" }),
      onEc2({ name: "arm", architecture: "arm64" }),
      onEc2({ name: "other", image: "pipeline:theirs" }),
      onEc2({ name: "ami", image: "ami-0123456789abcdef0" }),
      preset({ name: "task", compute: "fargate", image: "ubuntu:24.04" }),
    ];
    const made = pipelines({}, presets);
    expect(made.map(({ pipeline, architecture, parent }) => [pipeline, architecture, parent])).toEqual([
      ["tools", "x86_64", "amazon-linux-2023-x86"],
      ["tools", "arm64", "amazon-linux-2023-arm64"],
    ]);
    expect(Object.keys(pipelineRecipes(made))).toEqual(["tools"]);
    expect(new Set(made.map(({ recipe }) => recipe)).size).toBe(1);
  });

  it("of Ubuntu has another root device", () => {
    expect(pipelines({ system: "ubuntu-24.04" })[0]).toMatchObject({
      parent: "ubuntu-server-24-lts-x86",
      rootDeviceName: "/dev/sda1",
    });
  });

  it("has another recipe and another version when anything of it changes, and else the same", () => {
    const all = [
      pipelines(),
      pipelines({ diskGib: 50 }),
      pipelines({ dockerImages: ["postgres:17"] }),
      pipelines({ without: ["helm"] }),
      pipelines({ system: "ubuntu-24.04" }),
      pipelines({}, [onEc2()], "0.2.0"),
    ].map(([one]) => one);
    expect(new Set(all.map((one) => one?.recipe)).size).toBe(all.length);
    expect(new Set(all.map((one) => one?.version)).size).toBe(all.length);
    expect(pipelines()).toEqual(pipelines());
  });

  it("has a version that AWS takes, and a component that fits", () => {
    const [made] = pipelines({ dockerImages: ["a.dkr.ecr.eu-west-1.amazonaws.com/b@sha256:1", "c"] });
    const patch = Number(/^1\.0\.(\d+)$/.exec(made?.version ?? "")?.[1]);
    expect(patch).toBeLessThan(2 ** 30);
    const document = parse(made?.component ?? "");
    expect(made?.component).toContain("schemaVersion: 1.0\n");
    expect(document.phases.map(({ name }: { name: string }) => name)).toEqual(["build", "validate"]);
    const [command] = document.phases[0].steps[0].inputs.commands;
    expect(command).toContain("MAYFLY_DOCKER_IMAGES='a.dkr.ecr.eu-west-1.amazonaws.com/b@sha256:1 c'");
    expect(command).toContain("MAYFLY_DISK_GIB='30'");
  });

  it("that does not fit is refused", () => {
    const dockerImages = Array.from({ length: 50 }, (_, index) => `${"a".repeat(200)}:${index}`);
    expect(() => pipelines({ dockerImages })).toThrowError(
      expect.objectContaining({ code: "IMAGE_COMPONENT_TOO_LARGE" }),
    );
  });
});
