import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { policy, preset, repository } from "../../test/builders.ts";
import type { FleetOptions, Policy } from "./model.ts";
import {
  admit,
  fleetIdOf,
  matchesPattern,
  type Route,
  refusedFleet,
  resolveSpec,
  routeJob,
} from "./route.ts";

const linux = preset({ cpu: 2, memoryGib: 8, instanceTypes: ["m7i.large", "m6i.large"] });
const arm = preset({ name: "linux-arm64", architecture: "arm64", labels: ["linux", "arm64"] });
const gpu = preset({ name: "gpu", labels: ["linux", "x64", "gpu"], image: "ami-gpu" });
const windows = preset({ name: "windows", operatingSystem: "windows", labels: ["windows", "x64"] });

const all: Policy = policy({
  presets: [linux, arm, gpu],
  labelMappings: [
    { label: "Large", instanceTypes: ["c7i.xlarge"] },
    { label: "gpu-large", instanceTypes: ["g6.xlarge"], preset: "gpu", image: "ami-large" },
    { label: "pinned", instanceTypes: [], image: "ami-pinned" },
    { label: "armed", instanceTypes: [], preset: "Linux-ARM64" },
  ],
  classes: { small: { cpu: 0.5, memoryGib: 1 }, tall: { cpu: 1, memoryGib: 64 } },
  imagesAllowed: ["ghcr.io/acme/*", "ubuntu:24.04"],
});

function fleetOf(labels: readonly string[], rules = all): string {
  const route = routeJob(labels, rules);
  return route.kind === "routed" ? route.record.id : `${route.kind}: ${reasonOf(route)}`;
}

function reasonOf(route: Route): string {
  return route.kind === "refused" ? route.because : "";
}

function detailOf(labels: readonly string[], rules = all): string {
  const route = routeJob(labels, rules);
  return route.kind === "routed" ? "" : route.detail;
}

describe("labels become a fleet", () => {
  it.each<[string, readonly string[], string]>([
    ["plain labels", ["self-hosted", "linux", "x64"], "linux-x64"],
    ["some of them", ["self-hosted", "linux"], "linux-x64"],
    ["none but self-hosted", ["self-hosted"], "linux-x64"],
    ["without self-hosted", ["linux", "x64"], "linux-x64"],
    ["another case", ["Self-Hosted", "LINUX", "X64"], "linux-x64"],
    ["another architecture", ["self-hosted", "ARM64"], "linux-arm64"],
    ["another word for it", ["self-hosted", "aarch64"], "linux-arm64"],
    ["a word for the other", ["linux", "x86_64"], "linux-x64"],
    ["another word for the other", ["linux", "amd64"], "linux-x64"],
    ["a label of one preset", ["self-hosted", "gpu"], "gpu"],
    ["a preset by name", ["mayfly/gpu"], "gpu"],
    ["a preset by name, another case", ["Mayfly/GPU"], "gpu"],
    ["one option", ["mayfly/linux-x64/cpu=4"], "linux-x64/cpu=4"],
    ["two options", ["mayfly/linux-x64/cpu=4/ram=16"], "linux-x64/cpu=4,memoryGib=16"],
    ["separated by a comma", ["mayfly/linux-x64/ram=16,cpu=4"], "linux-x64/cpu=4,memoryGib=16"],
    ["the other prefix", ["spotrunner/linux-x64/cpu=4,ram=16"], "linux-x64/cpu=4,memoryGib=16"],
    ["an option of architecture", ["mayfly/linux-arm64/arch=arm64"], "linux-arm64"],
    ["a disk", ["mayfly/linux-x64/disk=200"], "linux-x64/diskGib=200"],
    ["a market", ["mayfly/linux-x64/market=spot-only"], "linux-x64/market=spot-only"],
    ["a market in one word", ["mayfly/linux-x64/market=spotOnly"], "linux-x64/market=spot-only"],
    ["two markets in one word", ["mayfly/linux-x64/market=spotPreferred"], "linux-x64/market=spot-preferred"],
    ["the same in words", ["mayfly/linux-x64/market=spot-preferred"], "linux-x64/market=spot-preferred"],
    ["the preset's own market in one word", ["mayfly/linux-x64/market=onDemandOnly"], "linux-x64"],
    ["a part of a processor", ["mayfly/linux-x64/cpu=0.25"], "linux-x64/cpu=0.25"],
    ["the largest number", ["mayfly/linux-x64/cpu=1024"], "linux-x64/cpu=1024"],
    ["types", ["mayfly/linux-x64/type=c7i.large+c6i.large"], "linux-x64/instanceTypes=c6i.large+c7i.large"],
    ["an image", ["mayfly/linux-x64/image=ghcr.io/acme/ci:1"], "linux-x64/image=ghcr.io/acme/ci:1"],
    [
      "an image after options",
      ["mayfly/linux-x64/cpu=4/image=ghcr.io/acme/a/b:1"],
      "linux-x64/cpu=4,image=ghcr.io/acme/a/b:1",
    ],
    ["an image of its own", ["self-hosted", "image:ubuntu:24.04"], "linux-x64/image=ubuntu:24.04"],
    ["an image of another preset", ["self-hosted", "image:ami-gpu"], "linux-x64/image=ami-gpu"],
    ["a class", ["self-hosted", "class:Small"], "linux-x64/cpu=0.5,memoryGib=1"],
    ["a mapping", ["self-hosted", "large"], "linux-x64/instanceTypes=c7i.xlarge"],
    ["a mapping to an image only", ["self-hosted", "pinned"], "linux-x64/image=ami-pinned"],
    ["a mapping to a preset only", ["armed"], "linux-arm64"],
    ["a mapping with a preset", ["gpu-large"], "gpu/image=ami-large,instanceTypes=g6.xlarge"],
    ["the same wish twice", ["mayfly/linux-x64/cpu=4", "spotrunner/linux-x64/cpu=4"], "linux-x64/cpu=4"],
    ["an option that the preset has anyway", ["mayfly/linux-x64/cpu=2"], "linux-x64"],
    ["all options that it has anyway", ["mayfly/linux-x64/cpu=2,ram=8"], "linux-x64"],
    ["one that it has anyway and one more", ["mayfly/linux-x64/cpu=2/disk=9"], "linux-x64/diskGib=9"],
    ["the preset's own types", ["mayfly/linux-x64/type=m6i.large+m7i.large"], "linux-x64"],
    ["the same in another order", ["mayfly/linux-x64/type=m7i.large+m6i.large"], "linux-x64"],
    [
      "its own types where a size would leave them out",
      ["mayfly/linux-x64/cpu=4,type=m6i.large+m7i.large"],
      "linux-x64/cpu=4,instanceTypes=m6i.large+m7i.large",
    ],
    [
      "and another size",
      ["mayfly/linux-x64/ram=4,type=m6i.large+m7i.large"],
      "linux-x64/instanceTypes=m6i.large+m7i.large,memoryGib=4",
    ],
    ["the preset's own market", ["mayfly/linux-x64/market=on-demand-only"], "linux-x64"],
    ["the preset's own image", ["mayfly/gpu/image=ami-gpu"], "gpu"],
  ])("%s", (_what, labels, fleet) => {
    expect(fleetOf(labels)).toBe(fleet);
  });

  it("of its own system", () => {
    const systems = (["linux", "windows", "macos"] as const).map((system) =>
      preset({ name: system, operatingSystem: system, labels: [] }),
    );
    for (const { name } of systems) expect(fleetOf([name], policy({ presets: systems }))).toBe(name);
  });

  it("whose record has all that is needed to launch, and no memory", () => {
    const route = routeJob(["mayfly/linux-x64/cpu=4"], all);
    const options = { cpu: 4 };
    const record = { id: "linux-x64/cpu=4", options, spec: resolveSpec(linux, options, all), refusals: [] };
    expect(route).toMatchObject({ kind: "routed", preset: linux });
    expect(route.kind === "routed" && route.record).toStrictEqual(record);
  });

  it("in the order of the config, whatever the order of the labels", () => {
    const both = policy({ presets: [gpu, linux] });
    expect(fleetOf(["linux", "self-hosted", "x64"], both)).toBe("gpu");
    expect(fleetOf(["x64", "linux", "self-hosted"], both)).toBe("gpu");
  });
});

describe("labels that cannot be served are refused with a reason", () => {
  it.each<[string, readonly string[], string, RegExp]>([
    ["no labels", [], "no-labels", /Add a label/],
    ["an unknown preset", ["mayfly/linux-x46"], "no-preset", /linux-x46.*Did you mean linux-x64\?/],
    ["no preset named", ["mayfly/"], "no-preset", /no preset/i],
    ["another system", ["self-hosted", "windows"], "wrong-system", /^No preset offers windows\.$/],
    ["another system of a named preset", ["mayfly/linux-x64", "windows"], "wrong-system", /windows/],
    ["both", ["self-hosted", "windows", "arm64"], "wrong-system", /^No preset offers windows arm64\.$/],
    [
      "a label that nobody offers, and an architecture that somebody does",
      ["self-hosted", "x64", "fpga"],
      "no-preset",
      /^No preset matches the labels\. linux-x64: it does not offer the label fpga; linux-arm64: .* x86_64, the preset is arm64; gpu: .*\.$/,
    ],
    ["two labels that nobody offers", ["self-hosted", "fpga", "tpu"], "no-preset", /the label fpga, tpu/],
    ["a class of no preset", ["class:small", "fpga"], "no-preset", /fpga/],
    ["an image of no preset", ["image:ubuntu:24.04", "fpga"], "no-preset", /fpga/],
    ["two presets by mappings", ["gpu-large", "armed"], "unknown-option", /more than one preset/],
    ["another architecture of a named preset", ["mayfly/linux-x64/arch=arm64"], "wrong-system", /arm64/],
    ["a label that nobody offers", ["self-hosted", "fpga"], "no-preset", /fpga/],
    ["an unknown option", ["mayfly/linux-x64/cpus=4"], "unknown-option", /Did you mean cpu\?/],
    ["an option without a value", ["mayfly/linux-x64/cpu"], "unknown-option", /Nothing/],
    ["a number that is none", ["mayfly/linux-x64/cpu=four"], "unknown-option", /four/],
    ["a number that is too large", ["mayfly/linux-x64/cpu=1025"], "unknown-option", /1024/],
    ["zero", ["mayfly/linux-x64/ram=0"], "unknown-option", /0/],
    ["a number with an exponent", ["mayfly/linux-x64/ram=1e3"], "unknown-option", /1e3/],
    ["a negative number", ["mayfly/linux-x64/ram=-1"], "unknown-option", /-1/],
    ["a number with a dot and nothing after it", ["mayfly/linux-x64/ram=1."], "unknown-option", /1\. in/],
    ["a number with letters after its dot", ["mayfly/linux-x64/ram=1.x"], "unknown-option", /1\.x/],
    ["a hexadecimal number", ["mayfly/linux-x64/ram=0x10"], "unknown-option", /0x10/],
    [
      "an unknown market",
      ["mayfly/linux-x64/market=spot"],
      "unknown-option",
      /^spot in .*market=spot is not/,
    ],
    ["a market with a slip", ["mayfly/linux-x64/market=Spot-Onyl"], "unknown-option", /mean spot-only\?/],
    ["a market without a name", ["mayfly/linux-x64/market="], "unknown-option", /^Nothing in the label/],
    ["an unknown architecture", ["mayfly/linux-x64/arch=mips"], "unknown-option", /mips/],
    ["a type that is none", ["mayfly/linux-x64/type=;rm"], "unknown-option", /instance type/],
    ["a type with more after it", ["mayfly/linux-x64/type=m7i.large;rm"], "unknown-option", /instance type/],
    ["a type of one letter", ["mayfly/linux-x64/type=m"], "unknown-option", /instance type/],
    ["an unknown class", ["self-hosted", "class:huge"], "unknown-option", /Known classes: small, tall\.$/],
    ["an image that is not allowed", ["self-hosted", "image:evil/x"], "image-not-allowed", /images.allow/],
    ["an image that is none", ["self-hosted", "image:a b"], "image-not-allowed", /not an image/],
    ["an image as an option", ["mayfly/gpu/image=evil"], "image-not-allowed", /evil/],
    ["an image without a reference", ["mayfly/gpu/image"], "image-not-allowed", /^Nothing is not an image/],
    [
      "two images",
      ["mayfly/linux-x64/image=ami-gpu", "image:ubuntu:24.04"],
      "unknown-option",
      /^The label image:ubuntu:24\.04 contradicts/,
    ],
    ["two presets", ["mayfly/gpu", "mayfly/linux-x64"], "unknown-option", /more than one preset/],
    ["two systems", ["self-hosted", "linux", "windows"], "unknown-option", /more than one operating/],
    ["two architectures", ["self-hosted", "x64", "arm64"], "unknown-option", /contradicts/],
    [
      "two sizes",
      ["mayfly/linux-x64/cpu=4", "class:small"],
      "unknown-option",
      /^The label class:small contradicts/,
    ],
    [
      "two memories",
      ["mayfly/linux-x64/ram=4", "class:small"],
      "unknown-option",
      /^The label class:small contr/,
    ],
  ])("%s", (_what, labels, because, detail) => {
    expect(fleetOf(labels)).toBe(`refused: ${because}`);
    expect(detailOf(labels)).toMatch(detail);
  });

  it("of which none can be, for want of presets or classes", () => {
    const nothing = policy({ presets: [] });
    expect(detailOf(["self-hosted", "linux"], nothing)).toMatch(/labels\. No preset is configured\.$/);
    expect(detailOf(["class:small"], nothing)).toMatch(/Known classes: none\.$/);
    expect(routeJob([], all).considered).toEqual([]);
  });

  it("in a sentence that can be kept, however many presets do not offer however many labels", () => {
    const many = policy({ presets: Array.from({ length: 20 }, (_, index) => preset({ name: `p${index}` })) });
    const labels = Array.from({ length: 99 }, (_, index) => `${index}`.padEnd(256, "x"));
    const detail = detailOf(["self-hosted", ...labels], many);
    expect(detail).toMatch(/p19: it does not offer the label 0x+, 1x+…\.$/);
    expect(detail.length).toBeLessThan(10_000);
  });

  it.each([["ubuntu-latest"], ["windows-2022"], ["some", "thing"]])("%s is not ours", (...labels) => {
    expect(fleetOf(labels)).toBe("ignored: ");
    expect(detailOf(labels)).toMatch(/^No preset offers these labels, and self-hosted is not one/);
  });

  it("a word that every object knows is a label like any other", () => {
    for (const word of ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf"]) {
      expect(fleetOf([word])).toBe("ignored: ");
      expect(fleetOf(["self-hosted", word])).toBe("refused: no-preset");
      expect(fleetOf([`mayfly/linux-x64/market=${word}`])).toBe("refused: unknown-option");
      expect(fleetOf([`mayfly/linux-x64/${word}=1`])).toBe("refused: unknown-option");
      expect(fleetOf([`class:${word}`])).toBe("refused: unknown-option");
      expect(fleetOf(["self-hosted", word], policy({ presets: [preset({ labels: [word] })] }))).toBe(
        "linux-x64",
      );
    }
  });

  it("whatever the labels, routing ends with a route", () => {
    const word = fc.oneof(
      fc.string({ maxLength: 300, unit: "binary" }),
      fc.string({ maxLength: 60 }).map((text) => `mayfly/linux-x64/${text}`),
      fc.string({ maxLength: 60 }).map((text) => `image:${text}`),
      fc.constantFrom("linux", "x64", "self-hosted", "large", "class:small"),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (labels) => {
        const route = routeJob(labels, all);
        expect(["routed", "refused", "ignored"]).toContain(route.kind);
        if (route.kind === "routed") expect(route.record.id).toMatch(/^[a-z0-9-]+(\/[\w.:/@=,+-]+)?$/);
      }),
    );
  });
});

describe("the explanation", () => {
  it("says of every preset why it was taken or not", () => {
    const { considered } = routeJob(
      ["self-hosted", "windows", "gpu"],
      policy({ presets: [linux, windows, gpu] }),
    );
    expect(considered).toEqual([
      expect.objectContaining({ preset: "linux-x64", matches: false, lacks: "system" }),
      expect.objectContaining({ preset: "windows", matches: false, lacks: "label" }),
      expect.objectContaining({ preset: "gpu", matches: false, lacks: "system" }),
    ]);
    expect(considered.map((entry) => entry.because)).toEqual([
      "the job asks for windows, the preset is linux",
      "it does not offer the label gpu",
      "the job asks for windows, the preset is linux",
    ]);
  });

  it("names the preset that was taken", () => {
    const { considered } = routeJob(["mayfly/gpu"], all);
    const named = "the labels name the preset gpu";
    expect(considered).toEqual([
      { preset: "linux-x64", matches: false, lacks: "name", because: named },
      { preset: "linux-arm64", matches: false, lacks: "name", because: named },
      { preset: "gpu", matches: true, because: "it offers every label of the job" },
    ]);
  });
});

describe("the id of a fleet", () => {
  const options: FleetOptions = { cpu: 4, memoryGib: 16, market: "spot-only", instanceTypes: ["b", "a"] };

  it("is the same in every order of the options, and of the types", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(Object.entries(options), { minLength: 4 }), (entries) => {
        const shuffled = { ...Object.fromEntries(entries), instanceTypes: ["a", "b"] };
        expect(fleetIdOf("p", shuffled as FleetOptions)).toBe(fleetIdOf("p", options));
      }),
    );
  });

  it("is another for other options, and bounded in length", () => {
    expect(fleetIdOf("p", { cpu: 4 })).not.toBe(fleetIdOf("p", { memoryGib: 4 }));
    const longest = "a".repeat(120 - "image=".length);
    expect(fleetIdOf("p", { image: longest })).toBe(`p/image=${longest}`);
    expect(fleetIdOf("p", { image: `${longest}a` })).toMatch(/^p\/[0-9a-f]{32}$/);
    const long = fleetIdOf("p", { image: "a".repeat(200) });
    expect(long).toMatch(/^p\/[0-9a-f]{32}$/);
    expect(long).not.toBe(fleetIdOf("p", { image: `${"a".repeat(199)}b` }));
  });

  it("gives jobs of one fleet the same spec", () => {
    const wishes = ["cpu=2", "ram=8", "cpu=4", "disk=9", "type=m6i.large+m7i.large", "market=spot-only"];
    fc.assert(
      fc.property(fc.subarray(wishes), fc.subarray(wishes), (left, right) => {
        const [first, second] = [left, right].map((some) =>
          routeJob([`mayfly/linux-x64/${some.join("/")}`], all),
        );
        if (first?.kind !== "routed" || second?.kind !== "routed") return;
        if (first.record.id === second.record.id) expect(first.record.spec).toEqual(second.record.spec);
        expect(resolveSpec(linux, first.record.options, all)).toEqual(first.record.spec);
      }),
    );
  });
});

describe("what a machine is launched with", () => {
  const bare = preset({
    name: "bare",
    instanceTypes: ["m7i.large"],
    runnerGroup: "ci",
    jobTimeoutSeconds: 9,
  });
  const full = preset({
    name: "full",
    cpu: 2,
    memoryGib: 8,
    diskGib: 50,
    image: "ami",
    instanceTypes: ["m7i.large"],
  });
  const wishes: FleetOptions = { cpu: 4, memoryGib: 16, diskGib: 90, image: "other", market: "spot-only" };

  it.each<[string, typeof bare, FleetOptions, object]>([
    ["is what the preset says, and nothing that it does not say", bare, {}, { instanceTypes: ["m7i.large"] }],
    ["is all that it says", full, {}, { ...sizeOf(full), image: "ami", instanceTypes: ["m7i.large"] }],
    ["is what the job asks for", bare, wishes, { ...wishes, instanceTypes: [] }],
    ["rather than what the preset says", full, wishes, { ...wishes, instanceTypes: [] }],
    [
      "has types that fit the processors",
      full,
      { cpu: 4 },
      { ...sizeOf(full), cpu: 4, image: "ami", instanceTypes: [] },
    ],
    [
      "or the memory",
      full,
      { memoryGib: 4 },
      { ...sizeOf(full), memoryGib: 4, image: "ami", instanceTypes: [] },
    ],
    [
      "or its types",
      bare,
      { cpu: 4, instanceTypes: ["c7i.large"] },
      { cpu: 4, instanceTypes: ["c7i.large"] },
    ],
  ])("%s", (_what, of, options, facts) => {
    const { name, labels: _, max: __, warm: ___, pricePerHourUsd: ____, ...spec } = of;
    for (const key of ["cpu", "memoryGib", "diskGib", "image"] as const)
      delete (spec as Partial<typeof of>)[key];
    expect(resolveSpec(of, options, all)).toStrictEqual({ ...spec, preset: name, ...facts });
  });

  function sizeOf({ cpu, memoryGib, diskGib }: FleetOptions): object {
    return { cpu, memoryGib, diskGib };
  }
});

it("jobs that are refused are kept where no machine is ever made", () => {
  expect(refusedFleet).toMatchObject({ id: "refused", options: {}, refusals: [] });
  expect(refusedFleet.spec).toMatchObject({ preset: "refused", compute: "none" });
});

describe("admission", () => {
  const rules = (repositories: readonly string[], publicRepositories: "refuse" | "allow" = "refuse") =>
    policy({ admission: { repositories, publicRepositories } });

  it.each<[string, Policy, boolean, string | undefined]>([
    ["all private ones", rules([]), true, undefined],
    ["no public ones", rules([]), false, "public-repository"],
    ["public ones where that is meant", rules([], "allow"), false, undefined],
    ["those that match", rules(["Acme/*"]), true, undefined],
    ["those that match one of several", rules(["other/*", "acme/app"]), true, undefined],
    ["not those that do not", rules(["acme/other", "acm/*"]), true, "repository-not-admitted"],
    ["a public one that matches is still public", rules(["acme/*"]), false, "public-repository"],
  ])("admits %s", (_what, admission, isPrivate, because) => {
    expect(admit(repository({ private: isPrivate }), admission)?.because).toBe(because);
  });

  it("says of what it does not admit which setting would", () => {
    expect(admit(repository(), rules(["x/*"]))?.detail).toMatch(/^acme\/app .* admission\.repositories/);
    const open = repository({ private: false });
    expect(admit(open, rules([]))?.detail).toMatch(/^acme\/app is public.* admission\.publicRepositories/);
  });
});

describe("patterns", () => {
  /** The same, letter by letter: slow, and plain to see. */
  function matchesSlowly(text: string, pattern: string): boolean {
    if (pattern === "") return text === "";
    if (pattern[0] === "*") {
      return matchesSlowly(text, pattern.slice(1)) || (text !== "" && matchesSlowly(text.slice(1), pattern));
    }
    return text !== "" && text[0] === pattern[0] && matchesSlowly(text.slice(1), pattern.slice(1));
  }

  it("match as the slow reference does", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", ".", "/", "+", "$", "(", "\n"), maxLength: 10 });
    const pattern = fc.string({
      unit: fc.constantFrom("a", "b", ".", "/", "+", "$", "(", "*", "\n"),
      maxLength: 6,
    });
    fc.assert(
      fc.property(text, pattern, (some, rule) => {
        expect(matchesPattern(some, rule)).toBe(matchesSlowly(some, rule));
        expect(matchesPattern(some.toUpperCase(), rule)).toBe(matchesSlowly(some, rule));
      }),
      { numRuns: 1_000 },
    );
    // Of so few letters, a pattern often matches.
    const few = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 5 });
    const fewWithStars = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 5 });
    fc.assert(
      fc.property(few, fewWithStars, (some, rule) => {
        expect(matchesPattern(some, rule)).toBe(matchesSlowly(some, rule));
      }),
      { numRuns: 1_000 },
    );
  });

  it("take no time that grows out of bounds with the number of stars", () => {
    const pattern = `${"a*".repeat(30)}b`;
    expect(matchesPattern("a".repeat(256), pattern)).toBe(false);
  });
});

describe("images that a job names", () => {
  const rules = policy({
    presets: [
      preset({ name: "tasks", imageKind: "container", image: "registry.acme/tools/own:1" }),
      preset({ name: "machines", imageKind: "machine" }),
    ],
    imagesAllowed: ["registry.acme/*", "ami-*", "ssm:*", "pipeline:*", "name:*"],
    imagesDenied: ["registry.acme/tools/*", "*:latest"],
  });

  it.each<[string, string]>([
    ["registry.acme/app:1", "tasks"],
    ["ami-registry/app:1", "tasks"],
    ["ami-0123456789abcdef0", "machines"],
    ["ami-0123456789abcdef01", "tasks"],
    ["registry.acme/name:1", "tasks"],
    ["ssm:/images/ours", "machines"],
    ["pipeline:ours", "machines"],
    ["name:ours-1", "machines"],
  ])("%s leads to a preset whose images are of its kind", (image, name) => {
    const route = routeJob(["self-hosted", `image:${image}`], rules);
    expect(route.kind === "routed" && route.preset.name).toBe(name);
  });

  it("of another kind than the preset's are said to be", () => {
    expect(detailOf(["mayfly/tasks", "image:ami-0123456789abcdef0"], rules)).toMatch(
      /tasks: its images are of containers, and ami-0123456789abcdef0 is not/,
    );
    const { considered } = routeJob(["mayfly/machines", "image:registry.acme/app:1"], rules);
    expect(considered.map(({ lacks }) => lacks)).toEqual(["name", "label"]);
    expect(considered[1]?.because).toMatch(/images are of machines/);
  });

  it("are refused where they are denied, though they are allowed, unless a preset has them itself", () => {
    for (const image of ["registry.acme/tools/root:1", "registry.acme/app:latest"]) {
      expect(fleetOf([`image:${image}`], rules)).toBe("refused: image-not-allowed");
      expect(detailOf([`image:${image}`], rules)).toBe(`The image ${image} matches an entry of images.deny.`);
    }
    expect(fleetOf(["image:registry.acme/tools/own:1"], rules)).toBe("tasks");
  });
});

describe("a route that was found", () => {
  const rules = policy();
  const found = () => routeJob(["linux", "x64"], rules);

  it("is kept for the same labels, and not for ever", () => {
    const first = found();
    expect(found()).toBe(first);
    for (let count = 0; count < 1_000; count++) routeJob([`label-${count}`], rules);
    expect(found()).not.toBe(first);
    expect(found()).toEqual(first);
  });

  it("is not that of other labels, nor of another configuration", () => {
    found();
    expect(routeJob(["linux", "arm64"], rules).kind).toBe("ignored");
    expect(routeJob(["linux", "x64"], policy({ presets: [] })).kind).toBe("ignored");
  });
});

describe("machine types", () => {
  const type = (
    name: string,
    cpu: number,
    memoryGib: number,
    architecture: "x86_64" | "arm64" = "x86_64",
  ) => {
    return { name, cpu, memoryGib, architecture };
  };
  const catalogue = [
    type("c.large", 2, 4),
    type("c.xlarge", 4, 8),
    type("m.xlarge", 4, 16),
    type("g.xlarge", 4, 8, "arm64"),
  ];
  const x64 = preset({ name: "x64", compute: "cloud", instanceTypes: ["c.large"] });
  const arm64 = preset({ name: "arm64", compute: "cloud", architecture: "arm64", labels: ["linux"], cpu: 4 });
  const box = preset({ name: "box", compute: "box", labels: ["linux", "box"] });
  const rules = policy({
    presets: [box, x64, arm64],
    machineTypes: { cloud: catalogue },
    labelMappings: [
      { label: "large", instanceTypes: ["c.xlarge"], market: "spot-only" },
      { label: "graviton", instanceTypes: ["g.xlarge"] },
    ],
  });
  const specOf = (...labels: readonly string[]) => {
    const route = routeJob(labels, rules);
    if (route.kind !== "routed") throw new Error(reasonOf(route));
    return route.record.spec;
  };

  it("are chosen by the size that a job asks for, and none of them is preferred", () => {
    expect(specOf("mayfly/x64/cpu=3")).toMatchObject({
      instanceTypes: ["c.xlarge", "m.xlarge"],
      typesAlike: true,
      cpu: 3,
    });
    expect(specOf("mayfly/x64/cpu=4,ram=10")).toMatchObject({ instanceTypes: ["m.xlarge"] });
  });

  it("are chosen by the preset's own size where it names none", () => {
    expect(specOf("mayfly/arm64")).toMatchObject({ instanceTypes: ["g.xlarge"], typesAlike: true });
  });

  it("that are named stay in their order, and say how large they are", () => {
    const spec = specOf("mayfly/x64/type=m.xlarge+c.xlarge");
    expect(spec).toMatchObject({ instanceTypes: ["m.xlarge", "c.xlarge"], cpu: 4, memoryGib: 16 });
    expect(spec.typesAlike).toBeUndefined();
  });

  it("are a label by themselves, which leads to a preset of their compute and processor", () => {
    expect(fleetOf(["self-hosted", "C.xlarge"], rules)).toBe("x64/instanceTypes=c.xlarge");
    expect(fleetOf(["self-hosted", "g.xlarge"], rules)).toBe("arm64/instanceTypes=g.xlarge");
    expect(fleetOf(["c.large"], rules)).toBe("x64");
  });

  it("are what a preset's own label is not, though it has the name of one", () => {
    const named = policy({
      ...rules,
      presets: [
        preset({ name: "other", compute: "box", labels: ["linux"] }),
        preset({ name: "named", compute: "box", labels: ["linux", "c.large"] }),
      ],
    });
    expect(fleetOf(["c.large"], named)).toBe("named");
  });

  it("a mapping gives, with the market", () => {
    expect(fleetOf(["self-hosted", "large", "mayfly/x64"], rules)).toBe(
      "x64/instanceTypes=c.xlarge,market=spot-only",
    );
  });

  it.each<[string, readonly string[], string, RegExp]>([
    [
      "that no machine has",
      ["mayfly/x64/cpu=500"],
      "no-machine-type",
      /No x86_64 machine type of cloud has 500 processors\.$/,
    ],
    [
      "that none has with so much memory",
      ["mayfly/x64/cpu=4,ram=64"],
      "no-machine-type",
      /4 processors and 64 GiB of memory/,
    ],
    ["of another processor than the preset's", ["mayfly/x64", "g.xlarge"], "wrong-system", /g\.xlarge/],
    [
      "of another processor than the label's",
      ["self-hosted", "x64", "g.xlarge"],
      "unknown-option",
      /contradicts/,
    ],
    ["of another processor, mapped", ["mayfly/x64", "graviton"], "wrong-system", /g\.xlarge/],
    [
      "of another processor, with both",
      ["mayfly/x64", "g.xlarge"],
      "wrong-system",
      /^No preset offers arm64 g\.xlarge\.$/,
    ],
    [
      "of another compute",
      ["mayfly/box", "c.xlarge"],
      "no-preset",
      /its compute box has no machine type c\.xlarge/,
    ],
  ])("%s are refused", (_what, labels, because, detail) => {
    expect(fleetOf(labels, rules)).toBe(`refused: ${because}`);
    expect(detailOf(labels, rules)).toMatch(detail);
  });

  it("may be limited to some, in whatever way they are named", () => {
    const limited = policy({ ...rules, typesAllowed: ["m.*", "c.large"] });
    expect(fleetOf(["mayfly/x64/type=m.xlarge+c.large"], limited)).toBe("x64/instanceTypes=c.large+m.xlarge");
    for (const label of ["mayfly/x64/type=m.xlarge+c.xlarge", "c.xlarge"]) {
      expect(fleetOf(["self-hosted", label], limited)).toBe("refused: type-not-allowed");
      expect(detailOf(["self-hosted", label], limited)).toMatch(
        / c\.xlarge matches no entry of instanceTypes/,
      );
    }
  });

  it("of another processor are said to be, of each preset", () => {
    const { considered } = routeJob(["self-hosted", "graviton"], rules);
    expect(considered.map(({ lacks, because }) => [lacks, because])).toEqual([
      [undefined, "it offers every label of the job"],
      ["system", "g.xlarge is arm64, the preset is x86_64"],
      [undefined, "it offers every label of the job"],
    ]);
  });

  it("peer: a label that is no type is not taken for one", () => {
    expect(fleetOf(["self-hosted", "c.9xlarge"], rules)).toBe("refused: no-preset");
  });
});
