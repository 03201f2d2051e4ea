import { describe, expect, it } from "vitest";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createCodeBuildImages } from "./codebuild.ts";

type Json = Readonly<Record<string, unknown>>;

/** What each action answers; a text is the code of a refusal. */
function place(script: Readonly<Record<string, Json | string>>) {
  const inputs: Record<string, Json> = {};
  const client: AwsClient = {
    region: "eu-west-1",
    send: async (request) => {
      inputs[request.action] = JSON.parse(request.body);
      const answer = script[request.action];
      if (typeof answer === "string") {
        throw new AwsError(request, {
          status: 400,
          awsCode: answer,
          message: "",
          details: {},
        });
      }
      return { status: 200, headers: {}, body: JSON.stringify(answer) };
    },
  };
  const log = createMemoryLog();
  const names = { project: "images", repository: "1.dkr.ecr.eu-west-1.amazonaws.com/mayfly" };
  const clock = createManualClock();
  const images = createCodeBuildImages({ client, clock, log, ...names, buildspec: "{}", recipe: "r" });
  return { images, inputs, log, clock };
}

const order = { base: "ubuntu:22.04", architecture: "x86_64", tag: "0123abcd" } as const;
const build = { id: "images:1", tag: "0123abcd" };

describe("a build", () => {
  it("is started with its tag as the token, and with the base as a variable", async () => {
    const { images, inputs } = place({ StartBuild: { build: { id: "images:1" } } });
    expect(await images.start(order)).toEqual({ id: "images:1" });
    expect(inputs.StartBuild).toEqual({
      projectName: "images",
      idempotencyToken: "0123abcd",
      buildspecOverride: "{}",
      environmentVariablesOverride: [
        { name: "BASE_IMAGE", value: "ubuntu:22.04", type: "PLAINTEXT" },
        { name: "REPOSITORY", value: "1.dkr.ecr.eu-west-1.amazonaws.com/mayfly", type: "PLAINTEXT" },
        { name: "TAG", value: "0123abcd", type: "PLAINTEXT" },
        { name: "ARCHITECTURE", value: "x86_64", type: "PLAINTEXT" },
      ],
    });
  });

  it("for arm64 runs on arm64", async () => {
    const { images, inputs } = place({ StartBuild: { build: { id: "images:1" } } });
    await images.start({ ...order, architecture: "arm64" });
    expect(inputs.StartBuild).toMatchObject({ environmentTypeOverride: "ARM_CONTAINER" });
  });

  it("goes on, or has made its image", async () => {
    const look = (buildStatus: string) =>
      place({ BatchGetBuilds: { builds: [{ buildStatus }] } }).images.look(build);
    expect(await look("IN_PROGRESS")).toEqual({ kind: "running" });
    expect(await look("SUCCEEDED")).toEqual({
      kind: "succeeded",
      reference: "1.dkr.ecr.eu-west-1.amazonaws.com/mayfly:0123abcd",
    });
  });

  it("E12: that failed says in which phase, why, and what its log said last", async () => {
    const phases = [
      { phaseType: "SUBMITTED", phaseStatus: "SUCCEEDED" },
      {
        phaseType: "BUILD",
        phaseStatus: "FAILED",
        contexts: [{ message: "Error while executing command." }],
      },
    ];
    const logs = { groupName: "/images", streamName: "1" };
    const { images } = place({
      BatchGetBuilds: { builds: [{ buildStatus: "FAILED", phases, logs }] },
      GetLogEvents: {
        events: [{ message: "pulling\n" }, { message: "manifest unknown\n" }, { message: "" }],
      },
    });
    expect(await images.look(build)).toEqual({
      kind: "failed",
      reason: "CodeBuild says FAILED in the phase BUILD: Error while executing command.",
      log: "pulling / manifest unknown",
    });
  });

  it("that failed says so when its log cannot be read, or the build is not known any more", async () => {
    const logs = { groupName: "/images", streamName: "1" };
    const { images, log } = place({
      BatchGetBuilds: { builds: [{ buildStatus: "TIMED_OUT", logs }] },
      GetLogEvents: "AccessDeniedException",
    });
    expect(await images.look(build)).toEqual({ kind: "failed", reason: "CodeBuild says TIMED_OUT" });
    expect(log.text()).toContain("could not be read");
    const gone = place({ BatchGetBuilds: { builds: [] } });
    expect(await gone.images.look(build)).toMatchObject({ kind: "failed" });
  });

  it("that CodeBuild does not name is asked for again", async () => {
    const { images } = place({ StartBuild: {} });
    await expect(images.start(order)).rejects.toMatchObject({ kind: "retry" });
  });

  it("has a log, which may be read while it runs, and after", async () => {
    const logs = { groupName: "/images", streamName: "1" };
    const { images, inputs } = place({
      BatchGetBuilds: { builds: [{ buildStatus: "IN_PROGRESS", logs }] },
      GetLogEvents: { events: [{ message: "  step 1\n" }, { message: "\n" }, { message: "step 2\r\n" }] },
    });
    expect(await images.log({ id: "images:1", lines: 50 })).toEqual(["  step 1", "", "step 2"]);
    expect(inputs.GetLogEvents).toMatchObject({ logGroupName: "/images", logStreamName: "1", limit: 50 });
    const waiting = place({ BatchGetBuilds: { builds: [{ buildStatus: "IN_PROGRESS" }] } });
    expect(await waiting.images.log({ id: "images:1", lines: 50 })).toEqual([]);
    const gone = place({ BatchGetBuilds: { builds: [] } });
    expect(await gone.images.log({ id: "images:1", lines: 50 })).toEqual([]);
  });
});

describe("a scan", () => {
  const reference = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mayfly:0123abcd";
  const answer = {
    imageScanStatus: { status: "COMPLETE" },
    imageScanFindings: {
      imageScanCompletedAt: 1_700_000_000,
      findingSeverityCounts: { CRITICAL: 1, LOW: 12 },
    },
  };

  it("is told by severity, and asked for now and then only", async () => {
    const script: Record<string, Json | string> = { DescribeImageScanFindings: answer };
    const { images, inputs, clock } = place(script);
    const found = { at: "2023-11-14T22:13:20.000Z", findings: { critical: 1, low: 12 } };
    expect(await images.findings(reference)).toEqual(found);
    expect(inputs.DescribeImageScanFindings).toMatchObject({
      registryId: "123456789012",
      repositoryName: "mayfly",
      imageId: { imageTag: "0123abcd" },
    });
    script.DescribeImageScanFindings = { imageScanStatus: { status: "PENDING" } };
    expect(await images.findings(reference)).toEqual(found);
    await clock.advance(16 * 60_000);
    expect(await images.findings(reference)).toBeUndefined();
  });

  it("that nobody made is nothing; a refusal is an error", async () => {
    const none = place({ DescribeImageScanFindings: "ScanNotFoundException" });
    expect(await none.images.findings(reference)).toBeUndefined();
    expect(await none.images.findings("registry.example.com/mayfly:1")).toBeUndefined();
    const refused = place({ DescribeImageScanFindings: "AccessDeniedException" });
    await expect(refused.images.findings(reference)).rejects.toThrow();
  });
});
