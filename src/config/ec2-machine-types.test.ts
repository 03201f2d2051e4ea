import { expect, it } from "vitest";
import { ec2MachineTypes } from "./ec2-machine-types.ts";

const named = (name: string) => ec2MachineTypes().find((type) => type.name === name);

it.each([
  ["c6i.4xlarge", 16, 32, "x86_64"],
  ["m7g.medium", 1, 4, "arm64"],
  ["r8gd.48xlarge", 192, 1536, "arm64"],
  ["c5.9xlarge", 36, 72, "x86_64"],
  ["m7i-flex.large", 2, 8, "x86_64"],
  ["c7gd.16xlarge", 64, 128, "arm64"],
])("%s has %d processors, %d GiB and is %s", (name, cpu, memoryGib, architecture) => {
  expect(named(name)).toEqual({ name, cpu, memoryGib, architecture });
});

it("types that burst have two processors and their own memory", () => {
  expect(named("t3.micro")).toEqual({
    ...{ name: "t3.micro", cpu: 2, memoryGib: 1, architecture: "x86_64", burstable: true },
  });
  expect(named("t4g.2xlarge")).toMatchObject({ cpu: 8, memoryGib: 32, architecture: "arm64" });
});

it("no type is there twice, and every one has a size", () => {
  const types = ec2MachineTypes();
  expect(new Set(types.map(({ name }) => name)).size).toBe(types.length);
  expect(types.filter(({ cpu, memoryGib }) => !(cpu > 0 && memoryGib > 0))).toEqual([]);
  expect(types.length).toBeGreaterThan(400);
});
