import { expect, test } from "vitest";
import { createAwsIamIdentity } from "./aws-iam.ts";

const providerId = "i-0123456789abcdef0";
const instance = { compute: "ec2", providerId };
const identity = createAwsIamIdentity({
  roles: [
    { compute: "ec2", arn: "arn:aws:iam::123456789012:role/mayfly/machines" },
    { compute: "fargate", arn: "arn:aws:iam::123456789012:role/tasks" },
  ],
});
const session = `arn:aws:sts::123456789012:assumed-role/machines/${providerId}`;

test("an instance proves that it is the instance which it names", async () => {
  expect(await identity.verify(instance, { headers: {}, caller: session })).toBe("proven");
  expect(identity.issue("linux-x64-1")).toBeUndefined();
});

test("the role tells which compute the machine belongs to", async () => {
  const caller = "arn:aws:sts::123456789012:assumed-role/tasks/0f9c1d2e";
  const verdict = (compute: string) =>
    identity.verify({ compute, providerId: "0f9c1d2e" }, { headers: {}, caller });
  expect(await verdict("fargate")).toBe("proven");
  expect(await verdict("ec2")).toHaveProperty("unproven");
});

test.each([
  ["nobody who signed", undefined],
  ["another instance", "arn:aws:sts::123456789012:assumed-role/machines/i-0fedcba9876543210"],
  ["another role", `arn:aws:sts::123456789012:assumed-role/control-plane/${providerId}`],
  ["a role whose name merely ends so", `arn:aws:sts::123456789012:assumed-role/not-machines/${providerId}`],
  ["another account", `arn:aws:sts::210987654321:assumed-role/machines/${providerId}`],
  ["another partition", `arn:aws-cn:sts::123456789012:assumed-role/machines/${providerId}`],
  ["a user of that name", `arn:aws:iam::123456789012:user/machines/${providerId}`],
  ["a federated user", `arn:aws:sts::123456789012:federated-user/${providerId}`],
  ["something in front of the ARN", `x:${session}`],
  ["something after the ARN", `${session}/more`],
  ["a line more", `${session}\n${session}`],
])("%s is no proof", async (_what, caller) => {
  const proof = { headers: {}, ...(caller !== undefined && { caller }) };
  const verdict = await identity.verify(instance, proof);
  expect(verdict).toHaveProperty("unproven");
  expect(JSON.stringify(verdict)).not.toContain("123456789012");
});

test("no header says who signed, whatever it is called", async () => {
  const names = ["caller", "x-amzn-iam-user-arn", "x-caller", "authorization", "x-amz-security-token"];
  const headers = Object.fromEntries(names.map((name) => [name, session]));
  expect(await identity.verify(instance, { headers })).toHaveProperty("unproven");
});

test.each(["aws-cn", "aws-us-gov"])("the partition %s has the same rules", async (partition) => {
  const there = createAwsIamIdentity({
    roles: [{ compute: "ec2", arn: `arn:${partition}:iam::123456789012:role/machines` }],
  });
  const caller = session.replace("arn:aws:", `arn:${partition}:`);
  expect(await there.verify(instance, { headers: {}, caller })).toBe("proven");
  expect(await there.verify(instance, { headers: {}, caller: session })).toHaveProperty("unproven");
});

test("a signature proves no machine id, as nobody signs with one", async () => {
  const proof = { headers: {}, caller: session };
  expect(await identity.verify(providerId, proof)).toHaveProperty("unproven");
});

test("a role that is no role is an error at the start, not at the first claim", () => {
  const arn = "arn:aws:iam::123456789012:instance-profile/machines";
  expect(() => createAwsIamIdentity({ roles: [{ compute: "ec2", arn }] })).toThrow(
    /is not the ARN of a role/,
  );
});
