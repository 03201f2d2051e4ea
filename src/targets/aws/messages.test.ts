import { expect, test } from "vitest";
import { jobEvent, start } from "../../../test/builders.ts";
import type { LifecycleEvent, Poke } from "../../core/model.ts";
import { readLifecycleEvent, readPoke, summaryOfMessage } from "./messages.ts";

const unreadable = expect.objectContaining({ kind: "operator", code: "MESSAGE_UNREADABLE" });

test("a poke is read as it was sent", () => {
  const poke: Poke = { stage: "scaledown", fleet: "linux-x64" };
  expect(readPoke(JSON.stringify(poke), "scaledown")).toEqual(poke);
  expect(() => readPoke(JSON.stringify(poke), "scaleup")).toThrowError(unreadable);
});

test.each(["", "[]", "null", '"x"', "{}", '{"stage":"scaleup"}', '{"stage":"claim","fleet":"a"}'])(
  "%j is no poke",
  (body) => {
    expect(() => readPoke(body, "scaleup")).toThrowError(unreadable);
  },
);

test.each<LifecycleEvent>([
  { kind: "job", job: jobEvent({ action: "completed", conclusion: "success" }) },
  { kind: "machine", machineId: "m-1", report: { step: "exited", exitCode: 0, ranJob: true }, at: start },
  { kind: "cloud", compute: "ec2", providerId: "i-1", what: "gone", at: start },
])("an event of ours is read as it was sent: $kind", (event) => {
  expect(readLifecycleEvent(JSON.stringify(event))).toEqual(event);
});

test("what EventBridge sends itself of tasks is translated", () => {
  const body = JSON.stringify({
    "detail-type": "ECS Task State Change",
    source: "aws.ecs",
    time: "2026-11-21T08:00:00Z",
    detail: {
      taskArn: "arn:aws:ecs:eu-west-1:1:task/mayfly/t-1",
      lastStatus: "STOPPED",
      stopCode: "UserInitiated",
    },
  });
  expect(readLifecycleEvent(body)).toMatchObject({ compute: "fargate", providerId: "t-1", what: "gone" });
});

test("what EventBridge sends itself of builds is translated", () => {
  const variables = { BASE_IMAGE: "ubuntu:22.04", TAG: "0123", ARCHITECTURE: "x86_64" };
  const list = Object.entries(variables).map(([name, value]) => ({ name, value }));
  const body = JSON.stringify({
    "detail-type": "CodeBuild Build State Change",
    source: "aws.codebuild",
    time: "2026-11-21T08:00:00Z",
    detail: {
      "build-status": "FAILED",
      "additional-information": { environment: { "environment-variables": list } },
    },
  });
  expect(readLifecycleEvent(body)).toMatchObject({ kind: "image", base: "ubuntu:22.04", tag: "0123" });
  expect(summaryOfMessage(body)).toBe("the image of ubuntu:22.04: a build has ended");
});

test("what EventBridge sends itself is translated, or tells nothing", () => {
  const sent = (state: string) =>
    JSON.stringify({
      "detail-type": "EC2 Instance State-change Notification",
      source: "aws.ec2",
      time: "2026-11-21T08:00:00Z",
      detail: { "instance-id": "i-1", state },
    });
  expect(readLifecycleEvent(sent("terminated"))).toMatchObject({
    kind: "cloud",
    providerId: "i-1",
    what: "gone",
  });
  expect(readLifecycleEvent(sent("pending"))).toBeUndefined();
});

test.each(["{", "7", "{}", '{"kind":"job"}', '{"kind":"machine","machineId":"m-1"}', '{"kind":"other"}'])(
  "%j is no event",
  (body) => {
    expect(() => readLifecycleEvent(body)).toThrowError(unreadable);
  },
);
