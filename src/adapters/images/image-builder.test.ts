import { afterEach, describe, expect, it } from "vitest";
import { start } from "../../../test/builders.ts";
import {
  type AwsStandIn,
  createImpatientClock,
  type StandInAnswer,
  standInCredentials,
  startAwsStandIn,
} from "../../../test/support/aws-stand-in.ts";
import { createAwsClient } from "../aws/client.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createSeededRandom } from "../random/seeded.ts";
import { createEc2ImageBuilder } from "./image-builder.ts";

const region = "eu-west-1";
const here = `arn:aws:imagebuilder:${region}:123456789012`;
const id = `${here}:image/mayfly-image-arm64-default/1.0.7/2`;
const order = { base: "pipeline:default", architecture: "arm64", tag: "0123abcd" } as const;
const build = { id, tag: "0123abcd" };

let standIn: AwsStandIn;
afterEach(async () => {
  await standIn.close();
});

async function place(...answers: readonly StandInAnswer[]) {
  const clock = createImpatientClock(start);
  standIn = await startAwsStandIn(answers, { service: "imagebuilder", region, now: clock.now });
  const log = createMemoryLog();
  const random = createSeededRandom(1);
  const credentials = () => standInCredentials;
  const client = createAwsClient({ region, endpoint: standIn.url, credentials, clock, random });
  const pipelineArns = `${here}:image-pipeline/mayfly-image-`;
  const recipes = { default: "2.338.0-1" };
  return { images: createEc2ImageBuilder({ client, log, pipelineArns, recipes }), log };
}

const image = (state: object, amis: readonly object[] = []): StandInAnswer => ({
  body: { requestId: "1", image: { arn: id, state, outputResources: { amis, containers: [] } } },
});

describe("a build of EC2 Image Builder", () => {
  it("is started with its tag as the token, signed, for the pipeline of its name and processor", async () => {
    const { images } = await place({ body: { imageBuildVersionArn: id, clientToken: "0123abcd" } });
    expect(await images.start(order)).toEqual({ id });
    const [request] = standIn.requests;
    expect(request).toMatchObject({
      method: "PUT",
      path: "/StartImagePipelineExecution",
      verdict: { kind: "valid" },
    });
    expect(JSON.parse(request?.body ?? "")).toEqual({
      imagePipelineArn: `${here}:image-pipeline/mayfly-image-arm64-default`,
      clientToken: "0123abcd",
    });
  });

  it.each(["PENDING", "CREATING", "BUILDING", "TESTING", "DISTRIBUTING", "INTEGRATING"])(
    "goes on while it is %s",
    async (status) => {
      const { images } = await place(image({ status }));
      expect(await images.look(build)).toEqual({ kind: "running" });
      const [request] = standIn.requests;
      expect(request).toMatchObject({ method: "GET", verdict: { kind: "valid" } });
      expect(request?.path).toBe("/GetImage");
      expect(new URLSearchParams(request?.query).get("imageBuildVersionArn")).toBe(id);
    },
  );

  it("has made the AMI of this region, whichever others it was copied to", async () => {
    const { images } = await place(
      image({ status: "AVAILABLE" }, [
        { region: "us-east-1", image: "ami-0other" },
        { region, image: "ami-0123456789abcdef0" },
      ]),
    );
    expect(await images.look(build)).toEqual({ kind: "succeeded", reference: "ami-0123456789abcdef0" });
  });

  it("that is distributed elsewhere only has failed", async () => {
    const { images } = await place(image({ status: "AVAILABLE" }, [{ region: "us-east-1", image: "ami-1" }]));
    expect(await images.look(build)).toMatchObject({
      kind: "failed",
      reason: expect.stringContaining("has no AMI in eu-west-1"),
    });
  });

  it("E12: that failed says why, and what its log said last", async () => {
    const { images } = await place(image({ status: "FAILED", reason: "Document failed with exit code 1." }), {
      body: { events: [{ message: "Stdout: mayfly: helm\n" }, { message: "exit status 1\n" }] },
    });
    expect(await images.look(build)).toEqual({
      kind: "failed",
      reason: "EC2 Image Builder says FAILED: Document failed with exit code 1.",
      log: "Stdout: mayfly: helm / exit status 1",
    });
    expect(JSON.parse(standIn.requests[1]?.body ?? "")).toMatchObject({
      logGroupName: "/aws/imagebuilder/mayfly-image-arm64-default",
      logStreamName: "1.0.7/2",
    });
  });

  it("that failed says so when its log is not there", async () => {
    const refused = { status: 400, body: { __type: "ResourceNotFoundException", message: "No group." } };
    const { images, log } = await place(image({ status: "CANCELLED" }), refused);
    expect(await images.look(build)).toEqual({ kind: "failed", reason: "EC2 Image Builder says CANCELLED" });
    expect(log.text()).toContain("could not be read");
  });

  it("that is not known any more has failed; one that nobody answers about has not", async () => {
    const gone = { status: 404, body: { __type: "ResourceNotFoundException", message: "Gone." } };
    const down = { status: 503, body: { __type: "ServiceUnavailableException", message: "Later." } };
    const { images } = await place(gone, down, down, down);
    expect(await images.look(build)).toMatchObject({ kind: "failed" });
    await expect(images.look(build)).rejects.toMatchObject({ kind: "retry" });
  });

  it("of a pipeline that is not there is not begun, and asked for again only when there is time", async () => {
    const gone = { status: 404, body: { __type: "ResourceNotFoundException", message: "No pipeline." } };
    const { images } = await place(gone);
    await expect(images.start(order)).rejects.toMatchObject({ kind: "operator" });
  });

  it("that is not named is asked for again", async () => {
    const { images } = await place({ body: {} });
    await expect(images.start(order)).rejects.toMatchObject({ kind: "retry" });
  });

  it("is only of a pipeline that is known here", async () => {
    const { images } = await place();
    expect(images.methodOf("pipeline:default")).toEqual({ recipe: "2.338.0-1", limitSeconds: 7_200 });
    for (const base of ["pipeline:other", "ami-0123456789abcdef0", "ubuntu:22.04", "pipeline:"]) {
      expect(images.methodOf(base)).toBeUndefined();
    }
  });
});
