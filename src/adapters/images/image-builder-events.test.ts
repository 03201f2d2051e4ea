import { expect, it } from "vitest";
import { imageBuilderEventOf } from "./image-builder-events.ts";
import { pipelineName, pipelinePlace } from "./image-builder-names.ts";

const arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image/mayfly-eu-image-x86-64-build-tools/1.0.7/2";

/** As the user guide of Image Builder has it. */
function changed(status: string, resource: string = arn): object {
  return {
    version: "0",
    "detail-type": "EC2 Image Builder Image State Change",
    source: "aws.imagebuilder",
    time: "2026-11-21T08:00:00Z",
    resources: [resource],
    detail: { "previous-state": { status: "TESTING" }, state: { status } },
  };
}

it.each(["AVAILABLE", "FAILED", "CANCELLED"])("%s is an end of the build of this image", (status) => {
  expect(imageBuilderEventOf(changed(status))).toEqual({
    kind: "image",
    base: "pipeline:build-tools",
    architecture: "x86_64",
    buildId: arn,
    at: Date.parse("2026-11-21T08:00:00Z"),
  });
});

it("an image that is being made, and one of somebody else, tell nothing", () => {
  for (const status of ["PENDING", "BUILDING", "TESTING", "DISTRIBUTING"]) {
    expect(imageBuilderEventOf(changed(status))).toBeUndefined();
  }
  for (const name of [
    "theirs",
    "a-image-b",
    "a-image-mips-b",
    "a-arm64-b",
    "-image-arm64-b",
    "a-image-arm64-",
  ]) {
    expect(
      imageBuilderEventOf(changed("FAILED", arn.replace(/image\/[^/]+/, `image/${name}`))),
    ).toBeUndefined();
  }
  expect(imageBuilderEventOf(changed("FAILED", "arn:aws:s3:::bucket"))).toBeUndefined();
  expect(imageBuilderEventOf({ ...changed("FAILED"), resources: [] })).toBeUndefined();
});

it.each([undefined, {}, { source: "aws.imagebuilder", "detail-type": "EC2 Image Builder CVE Detected" }])(
  "what is no event about an image is refused: %j",
  (event) => {
    expect(() => imageBuilderEventOf(event)).toThrowError(
      expect.objectContaining({ kind: "operator", code: "IMAGE_BUILDER_EVENT_UNKNOWN" }),
    );
  },
);

it("a pipeline's name can be read again, and is the same in the ARNs of Image Builder", () => {
  for (const architecture of ["x86_64", "arm64"] as const) {
    for (const pipeline of ["build-tools", "arm64", "image-arm64-x"]) {
      const place = { deployment: "mayfly-2", pipeline, architecture };
      expect(pipelinePlace(pipelineName(place))).toEqual(place);
      expect(pipelineName(place)).toMatch(/^[a-z0-9-]+$/);
    }
  }
});
