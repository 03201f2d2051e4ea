import { expect, it } from "vitest";
import { codeBuildEventOf } from "./codebuild-events.ts";

const names = { BASE_IMAGE: "ubuntu:22.04", TAG: "0123abcd", ARCHITECTURE: "arm64", REPOSITORY: "r" };

/** As CodeBuild's user guide has it, with what we give to builds. */
function ended(status: string, variables: Readonly<Record<string, string>> = names): object {
  return {
    version: "0",
    "detail-type": "CodeBuild Build State Change",
    source: "aws.codebuild",
    time: "2026-11-21T08:00:00Z",
    detail: {
      "build-status": status,
      "project-name": "mayfly-images",
      "additional-information": {
        environment: {
          type: "ARM_CONTAINER",
          "environment-variables": Object.entries(variables).map(([name, value]) => ({ name, value })),
        },
        "build-complete": true,
      },
    },
  };
}

it.each(["SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"])(
  "E12: %s is an end of the build of this image",
  (status) => {
    expect(codeBuildEventOf(ended(status))).toEqual({
      kind: "image",
      base: "ubuntu:22.04",
      architecture: "arm64",
      tag: "0123abcd",
      at: Date.parse("2026-11-21T08:00:00Z"),
    });
  },
);

it("a build that goes on, and one of somebody else, tell nothing", () => {
  expect(codeBuildEventOf(ended("IN_PROGRESS"))).toBeUndefined();
  for (const name of ["BASE_IMAGE", "TAG", "ARCHITECTURE"]) {
    expect(codeBuildEventOf(ended("FAILED", { ...names, [name]: "" }))).toBeUndefined();
  }
  expect(codeBuildEventOf(ended("FAILED", {}))).toBeUndefined();
});

it.each([undefined, {}, { source: "aws.codebuild", "detail-type": "CodeBuild Build Phase Change" }])(
  "what is no event about a build is refused: %j",
  (event) => {
    expect(() => codeBuildEventOf(event)).toThrowError(
      expect.objectContaining({ kind: "operator", code: "CODEBUILD_EVENT_UNKNOWN" }),
    );
  },
);
