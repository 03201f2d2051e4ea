import { describe, expect, it } from "vitest";
import { machineType, typesThatFit } from "./machine-types.ts";
import type { MachineType } from "./model.ts";

const type = (name: string, cpu: number, memoryGib: number, more: Partial<MachineType> = {}): MachineType => {
  return { name, cpu, memoryGib, architecture: "x86_64", ...more };
};

const types = [
  type("c.large", 2, 4),
  type("m.large", 2, 8),
  type("r.large", 2, 16),
  type("c.xlarge", 4, 8),
  type("c2.xlarge", 4, 8),
  type("m.xlarge", 4, 16),
  type("r.xlarge", 4, 32),
  type("g.xlarge", 4, 8, { architecture: "arm64" }),
  type("t.micro", 2, 1, { burstable: true }),
  type("t.small", 2, 2, { burstable: true }),
  type("t.xlarge", 4, 16, { burstable: true }),
];
const fitting = (cpu?: number, memoryGib?: number, architecture: "x86_64" | "arm64" = "x86_64") =>
  typesThatFit(types, { architecture, cpu, memoryGib });

describe("the types that fit", () => {
  it.each<[string, number | undefined, number | undefined, string[]]>([
    [
      "are the smallest, and those beside them that cost little more",
      4,
      undefined,
      ["c.xlarge", "c2.xlarge", "m.xlarge"],
    ],
    ["have the memory too", 4, 16, ["m.xlarge", "r.xlarge"]],
    ["have more processors where the memory asks for no more", 3, 8, ["c.xlarge", "c2.xlarge", "m.xlarge"]],
    ["have few processors where only memory is asked for", undefined, 12, ["r.large"]],
    ["are none that burst, from two processors on", 2, undefined, ["c.large", "m.large"]],
    ["are what is smallest where nothing is asked for", undefined, undefined, ["c.large", "m.large"]],
    ["burst below two processors", 0.5, 1, ["t.micro", "t.small"]],
    ["burst below two processors, as large as the memory asks", 1, 2, ["t.small"]],
    ["are none where nothing is large enough", 8, undefined, []],
    ["are none where nothing has the memory", 2, 64, []],
  ])("%s", (_what, cpu, memoryGib, names) => {
    expect(fitting(cpu, memoryGib)).toEqual(names);
    // The catalogue may be in any order.
    const reversed = typesThatFit(types.toReversed(), { architecture: "x86_64", cpu, memoryGib });
    expect(reversed.toSorted()).toEqual(names);
  });

  it("are of the architecture", () => {
    expect(fitting(2, 4, "arm64")).toEqual(["g.xlarge"]);
    expect(fitting(8, 4, "arm64")).toEqual([]);
  });

  it("below two processors are others where none bursts", () => {
    expect(fitting(0.5, 1, "arm64")).toEqual(["g.xlarge"]);
  });

  it("are one alone where it is exactly of a size, the smallest", () => {
    const sizes = [type("2 8", 2, 8), type("2 4", 2, 4), type("2 5", 2, 5)].map((size) => {
      return { ...size, exact: true } as const;
    });
    expect(typesThatFit(sizes, { architecture: "x86_64", cpu: 2 })).toEqual(["2 4"]);
    expect(typesThatFit(sizes, { architecture: "x86_64", cpu: 1, memoryGib: 5 })).toEqual(["2 5"]);
  });

  it("are no more than make a difference", () => {
    const many = Array.from({ length: 30 }, (_, index) => type(`c${index}.large`, 2, 4));
    expect(typesThatFit(many, { architecture: "x86_64", cpu: 2 })).toHaveLength(20);
  });
});

it("a type is known by its name in any case, in all computes or in one", () => {
  const policy = { machineTypes: { ec2: types } };
  expect(machineType(policy, "M.Large")?.memoryGib).toBe(8);
  expect(machineType(policy, "m.large", "ec2")?.cpu).toBe(2);
  expect(machineType(policy, "m.large", "docker")).toBeUndefined();
  expect(machineType(policy, "constructor")).toBeUndefined();
});
