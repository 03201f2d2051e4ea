import { expect, test } from "vitest";
import { ec2EventOf } from "./ec2-events.ts";

/** As EventBridge delivers it, with everything that is not used. */
function event(type: string, detail: Readonly<Record<string, unknown>> = {}) {
  return {
    version: "0",
    id: "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": type,
    source: "aws.ec2",
    account: "123456789012",
    time: "2026-11-21T08:00:02Z",
    region: "us-east-1",
    resources: ["arn:aws:ec2:us-east-1:123456789012:instance/i-0abcdef"],
    detail: { "instance-id": "i-0abcdef", ...detail },
  };
}

const stateChange = (state: unknown) => event("EC2 Instance State-change Notification", { state });
const cloud = { kind: "cloud", compute: "ec2", providerId: "i-0abcdef", at: Date.UTC(2026, 10, 21, 8, 0, 2) };

test("a spot interruption warning is a notice", () => {
  const warning = event("EC2 Spot Instance Interruption Warning", { "instance-action": "terminate" });
  expect(ec2EventOf(warning)).toMatchObject({ ...cloud, what: "interruption-notice" });
});

test("a rebalance recommendation is a risk, not a notice: most such instances live on for long", () => {
  expect(ec2EventOf(event("EC2 Instance Rebalance Recommendation"))).toMatchObject({
    ...cloud,
    what: "at-risk",
  });
});

test.each([
  ["pending", undefined],
  ["running", "running"],
  ["stopping", "gone"],
  ["stopped", "gone"],
  ["shutting-down", "gone"],
  ["terminated", "gone"],
])("an instance that is %s: %s", (state, what) => {
  const translated = ec2EventOf(stateChange(state));
  if (what === undefined) expect(translated).toBeUndefined();
  else expect(translated).toMatchObject({ ...cloud, what });
});

test.each([
  ["another source", { ...stateChange("running"), source: "aws.ecs" }],
  ["another type", event("EC2 AMI State Change")],
  ["a state that EC2 does not have", stateChange("sleeping")],
  ["no instance", { ...stateChange("running"), detail: { state: "running" } }],
  ["no time", { ...stateChange("running"), time: undefined }],
  ["no event", "EC2 Instance State-change Notification"],
])("%s is told to the operator, not guessed", (_what, unknown) => {
  expect(() => ec2EventOf(unknown)).toThrowError(/is none that EC2 is known to send/);
});
