import { expect, test } from "vitest";
import { fargateEventOf } from "./fargate-events.ts";

const id = "0123456789abcdef0123456789abcdef";

/** As EventBridge delivers it, with everything that is not used. */
function event(detail: Readonly<Record<string, unknown>>) {
  return {
    version: "0",
    id: "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "ECS Task State Change",
    source: "aws.ecs",
    account: "123456789012",
    time: "2026-11-21T08:00:02Z",
    region: "us-east-1",
    resources: [`arn:aws:ecs:us-east-1:123456789012:task/mayfly/${id}`],
    detail: {
      taskArn: `arn:aws:ecs:us-east-1:123456789012:task/mayfly/${id}`,
      clusterArn: "arn:aws:ecs:us-east-1:123456789012:cluster/mayfly",
      desiredStatus: "RUNNING",
      launchType: "FARGATE",
      version: 4,
      containers: [{ name: "runner", lastStatus: "PENDING" }],
      ...detail,
    },
  };
}

const cloud = { kind: "cloud", compute: "fargate", providerId: id, at: Date.UTC(2026, 10, 21, 8, 0, 2) };

test.each(["PROVISIONING", "PENDING", "ACTIVATING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"])(
  "%s tells nothing",
  (lastStatus) => expect(fargateEventOf(event({ lastStatus }))).toBeUndefined(),
);

test("a task runs, until it is told to stop", () => {
  expect(fargateEventOf(event({ lastStatus: "RUNNING" }))).toEqual({ ...cloud, what: "running" });
  expect(fargateEventOf(event({ lastStatus: "RUNNING", desiredStatus: "STOPPED" }))).toBeUndefined();
});

test.each(["SpotInterruption", "TerminationNotice"])("%s is a notice while the task runs", (stopCode) => {
  const running = event({ lastStatus: "RUNNING", desiredStatus: "STOPPED", stopCode });
  expect(fargateEventOf(running)).toMatchObject({ ...cloud, what: "interruption-notice" });
});

test("a task that has stopped is gone; whether it was taken is said, as its notice may be lost", () => {
  const stopped = (changes: object) => fargateEventOf(event({ lastStatus: "STOPPED", ...changes }));
  expect(stopped({ stopCode: "UserInitiated" })).toEqual({
    ...cloud,
    what: "gone",
    detail: "ECS says that the task has stopped.",
  });
  expect(stopped({ stopCode: "SpotInterruption" })).toMatchObject({ what: "gone", takenBack: true });
  const pulled = { stopCode: "TaskFailedToStart", stoppedReason: "CannotPullContainerError: denied" };
  expect(stopped(pulled)).toMatchObject({ detail: expect.stringMatching(/CannotPullContainerError/) });
});

test.each([
  [{ ...event({ lastStatus: "STOPPED" }), source: "aws.ec2" }],
  [{ ...event({ lastStatus: "STOPPED" }), "detail-type": "ECS Service Action" }],
  [{ ...event({ lastStatus: "STOPPED" }), time: "yesterday" }],
  [event({ taskArn: 7 })],
  [undefined],
])("anything else is a rule that sends what it should not", (wrong) => {
  expect(() => fargateEventOf(wrong)).toThrow(expect.objectContaining({ code: "FARGATE_EVENT_UNKNOWN" }));
});
