import { expect, it } from "vitest";
import { imageBuilderEventOf } from "./image-builder-events.ts";
import { pipelineName, pipelinePlace } from "./image-builder-names.ts";

const arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image/mayfly-eu_build-tools_x86-64/1.0.7/2";

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
  for (const name of ["theirs", "a_b", "a_b_mips", "a_b_arm64_c"]) {
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

it("a pipeline's name can be read again", () => {
  for (const architecture of ["x86_64", "arm64"] as const) {
    const place = { deployment: "mayfly-2", pipeline: "build-tools", architecture };
    expect(pipelinePlace(pipelineName(place))).toEqual(place);
  }
});
