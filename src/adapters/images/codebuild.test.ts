import { describe, expect, it } from "vitest";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createCodeBuildImages } from "./codebuild.ts";

type Json = Readonly<Record<string, unknown>>;

function place(script: Readonly<Record<string, Json | "refused">>) {
  const inputs: Record<string, Json> = {};
  const client: AwsClient = {
    region: "eu-west-1",
    send: async (request) => {
      inputs[request.action] = JSON.parse(request.body);
      const answer = script[request.action];
      if (answer === "refused") {
        throw new AwsError(request, {
          status: 400,
          awsCode: "AccessDeniedException",
          message: "",
          details: {},
        });
      }
      return { status: 200, headers: {}, body: JSON.stringify(answer) };
    },
  };
  const log = createMemoryLog();
  const names = { project: "images", repository: "1.dkr.ecr.eu-west-1.amazonaws.com/mayfly" };
  const images = createCodeBuildImages({ client, log, ...names, buildspec: "{}", recipe: "r" });
  return { images, inputs, log };
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
      GetLogEvents: "refused",
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
});
