import { describe, expect, it } from "vitest";
import { policy, preset } from "../../../test/builders.ts";
import type { AwsClient } from "../../adapters/aws/client.ts";
import { AwsError } from "../../adapters/aws/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { examineOptions } from "./doctor-options.ts";

const here = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/mayfly-image-";
const settings = { system: "ubuntu-24.04", diskGib: 30 };
const loaded = {
  config: { pipelines: { tools: settings, unused: settings } },
  policy: policy({
    presets: [
      preset({ compute: "ec2", image: "pipeline:tools" }),
      preset({ name: "arm", compute: "ec2", image: "pipeline:tools", architecture: "arm64" }),
    ],
  }),
} as unknown as Pick<LoadedConfig, "config" | "policy">;

/** An account in which there are these pipelines, and others may not be looked at or are not there. */
function accountWith(present: string, awsCode: string): AwsClient {
  return {
    region: "eu-west-1",
    async send(request) {
      if (request.path?.includes(encodeURIComponent(present)))
        return { status: 200, headers: {}, body: "{}" };
      throw new AwsError(request, { status: 400, awsCode, message: "", details: {} });
    },
  };
}

describe("image pipelines that the configuration names", () => {
  it("are looked for once for each processor that a preset wants", async () => {
    const client = accountWith("mayfly-image-x86-64-tools", "ResourceNotFoundException");
    expect(await examineOptions(loaded, { client }, { MAYFLY_IMAGE_PIPELINES: here })).toMatchObject([
      { about: "image pipeline tools, x86_64", verdict: "ok" },
      {
        about: "image pipeline tools, arm64",
        verdict: "problem",
        says: expect.stringContaining(`There is no ${here}arm64-tools`),
      },
    ]);
  });

  it("are not called missing where they may not be looked at", async () => {
    const client = accountWith("mayfly-image-x86-64-tools", "AccessDeniedException");
    expect(await examineOptions(loaded, { client }, { MAYFLY_IMAGE_PIPELINES: here })).toMatchObject([
      { verdict: "ok" },
      { verdict: "unknown", cure: expect.stringContaining("imagebuilder:GetImagePipeline") },
    ]);
  });

  it("are missing where the functions know of none, and nothing is said without the functions", async () => {
    const client = accountWith("mayfly-", "ResourceNotFoundException");
    expect(await examineOptions(loaded, { client }, {})).toMatchObject([
      { verdict: "problem", says: "The functions were deployed without any image pipeline." },
      { verdict: "problem" },
    ]);
    expect(await examineOptions(loaded, { client }, undefined)).toEqual([]);
  });
});
