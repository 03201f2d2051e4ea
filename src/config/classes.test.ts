import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { readClasses } from "./classes.ts";
import { checkConfig } from "./load.ts";

const place = "the parameter /mayfly/classes";
const read = (text: string, onFargate = true) => readClasses(text, { place, onFargate });

describe("classes that are kept elsewhere", () => {
  it("are those of the configuration, in its units", () => {
    expect(read('{"medium":{"cpu":1024,"memory":2048},"tiny":{"cpu":256,"memory":512}}')).toEqual({
      medium: { cpu: 1, memoryGib: 2 },
      tiny: { cpu: 0.25, memoryGib: 0.5 },
    });
  });

  test.each([
    ["", "no JSON object of sizes"],
    ["[]", "no JSON object of sizes"],
    ['{"a b":{"cpu":1024,"memory":2048}}', '"a b" is no name of a class.'],
    ['{"a":1024}', "a is no object of cpu and memory."],
    ['{"a":{"cpu":1024}}', "a.memory must be a whole number from 64 to 33554432."],
    ['{"a":{"cpu":"1024","memory":2048}}', "a.cpu must be a whole number from 64 to 1048576."],
    ['{"a":{"cpu":1024,"memory":2048,"gpu":1}}', "a.gpu is not known; a class has cpu and memory."],
    [
      '{"a":{"cpu":1024,"memory":1024}}',
      "a is no size of a Fargate task. The nearest is { cpu: 1024, memory: 2048 }.",
    ],
  ])("%s is refused, with a sentence", (text, sentence) => {
    expect(() => read(text)).toThrowError(
      expect.objectContaining({
        kind: "operator",
        code: "CLASSES_INVALID",
        message: expect.stringContaining(sentence),
      }),
    );
  });

  it("may have any size where no task has to have it", () => {
    expect(read('{"a":{"cpu":1024,"memory":1024}}', false)).toEqual({ a: { cpu: 1, memoryGib: 1 } });
  });

  it("are valid exactly where those of the configuration are, and mean the same", () => {
    const edges = [63, 64, 256, 512, 1024, 2048, 4096, 1_048_576, 33_554_432, 33_554_433, 0.5, -1];
    const field = fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom<unknown>(...edges) },
      fc.constantFrom<unknown>("1024", null, true, [], {}),
    );
    const size = fc.oneof(
      { weight: 9, arbitrary: fc.record({ cpu: field, memory: field }, { requiredKeys: ["cpu"] }) },
      fc.record({ cpu: field, memory: field, gpu: field }),
      fc.constantFrom<unknown>(null, 7, []),
    );
    const name = fc.constantFrom("a", "Big.1", "-a", "a b", "ü", "x".repeat(64), "x".repeat(65));
    const compute = fc.constantFrom("fargate", "ec2");
    fc.assert(
      fc.property(fc.dictionary(name, size, { maxKeys: 3 }), compute, (classes, on) => {
        const machine = on === "ec2" ? "instanceTypes: [m7i.large]" : 'image: "ubuntu:24.04", cpu: 1';
        const preset = `{ architecture: x86_64, compute: ${on}, ${machine} }`;
        const text = `{ github: { appId: 7 }, presets: { p: ${preset} }, labels: { classes: ${JSON.stringify(classes)} } }`;
        const { loaded, problems } = checkConfig(text, { path: "mayfly.yaml", environment: {} });
        if (loaded === undefined) {
          expect(problems.every(({ path }) => path.startsWith("labels.classes"))).toBe(true);
          expect(() => read(JSON.stringify(classes), on === "fargate")).toThrow("cannot be used");
        } else expect(read(JSON.stringify(classes), on === "fargate")).toEqual(loaded.policy.classes);
      }),
      { numRuns: 300 },
    );
  });
});
