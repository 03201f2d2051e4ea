import { expect, it } from "vitest";
import { meaningOfEc2Code } from "./ec2-errors.ts";

it.each([
  ...["InsufficientInstanceCapacity", "UnfulfillableCapacity", "InsufficientCapacity"].map((code) => [
    code,
    "capacity",
  ]),
  ...["InsufficientCapacityOnHost", "ReservationCapacityExceeded", "Unsupported"].map((code) => [
    code,
    "capacity",
  ]),
  ...["SpotMaxPriceTooLow", "InsufficientFreeAddressesInSubnet"].map((code) => [code, "capacity"]),
  ...["MaxSpotInstanceCountExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded"].map((code) => [
    code,
    "quota",
  ]),
  ...["MaxFleetCountExceeded", "TargetCapacityLimitExceededException"].map((code) => [code, "quota"]),
  ...["MaxSpotFleetRequestCountExceeded", "ResourceLimitExceeded", "VolumeLimitExceeded"].map((code) => [
    code,
    "quota",
  ]),
  ...["RequestLimitExceeded", "Throttling"].map((code) => [code, "throttle"]),
  ...["UnauthorizedOperation", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"].map((code) => [
    code,
    "configuration",
  ]),
  ...["InvalidAMIID.NotFound", "InvalidAMIID.SomethingElse", "InvalidParameterValue"].map((code) => [
    code,
    "configuration",
  ]),
  ...["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException"].map((code) => [
    code,
    "configuration",
  ]),
  ...["InvalidKeyPair.NotFound", "InvalidUserData.Malformed", "InvalidFleetConfig"].map((code) => [
    code,
    "configuration",
  ]),
  ...["InternalError", "ServiceUnavailable", "SomethingNew", "constructor", ""].map((code) => [
    code,
    "transient",
  ]),
])("%s is %s", (code, failure) => {
  expect(meaningOfEc2Code(code!).failure).toBe(failure);
});

it("capacity is of one pool, quota and throttling of the account", () => {
  expect(meaningOfEc2Code("InsufficientInstanceCapacity").subject).toBe("pool");
  expect(meaningOfEc2Code("VcpuLimitExceeded").subject).toBe("account");
  expect(meaningOfEc2Code("RequestLimitExceeded").subject).toBe("account");
});

it("a type that a zone does not have is the pool's, whatever the code", () => {
  const message =
    "Your requested instance type (c8g.large) is not supported in your requested Availability Zone (us-east-1e).";
  for (const code of ["InvalidFleetConfiguration", "Unsupported", "InvalidParameterValue"]) {
    expect(meaningOfEc2Code(code, message)).toMatchObject({ failure: "capacity", subject: "pool" });
  }
});
