import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { MayflyError } from "../core/errors.ts";
import { problemText } from "./explain.ts";
import { checkConfig, type Environment, loadConfig } from "./load.ts";

const minimal = `github: { appId: 7 }
secrets:
  webhookSecret: { file: webhook }
  appPrivateKey: { environment: APP_KEY }
presets:
  small:
    architecture: arm64
    compute: local
`;

function check(text: string, environment: Environment = {}) {
  return checkConfig(text, { path: "/etc/mayfly/mayfly.yaml", environment });
}

function problemsOf(text: string, environment: Environment = {}): readonly string[] {
  return check(text, environment).problems.map(problemText);
}

test("the example loads without problems and warnings", async () => {
  const path = fileURLToPath(new URL("../../examples/mayfly.yaml", import.meta.url));
  const { config, policy, warnings } = await loadConfig({ path, environment: {} });
  expect(warnings).toEqual([]);
  expect(config.github).toEqual({ server: "https://github.com", appId: 123456, scope: "organization" });
  expect(config.secrets.webhookSecret).toEqual({
    file: fileURLToPath(new URL("../../examples/secrets/webhook-secret", import.meta.url)),
  });
  expect(policy.presets.map((preset) => preset.name)).toEqual(["linux-x64", "linux-x64-container"]);
  expect(policy.presets[1]).toMatchObject({ image: "ghcr.io/actions/actions-runner:latest", memoryGib: 4 });
  expect(policy.classes).toEqual({ small: { cpu: 0.5, memoryGib: 1 } });
  expect(policy.limits).toEqual({ machines: 12, perRepository: 8, dailyBudgetUsd: 20 });
});

test("what is left out has its default, in the units of the core", () => {
  const { loaded, warnings } = check(minimal);
  expect(warnings).toEqual([]);
  expect(loaded?.config.server).toEqual({
    host: "127.0.0.1",
    port: 8085,
    dataDirectory: "/etc/mayfly/.mayfly",
    logLevel: "info",
  });
  expect(loaded?.policy.timing).toEqual({
    jobDeadlineSeconds: 23 * 3600,
    launchRetrySeconds: 15,
    launchLimitSeconds: 300,
    idleGraceSeconds: 60,
    capacityBackoffSeconds: 30,
    capacityBackoffLimitSeconds: 900,
    listingDelaySeconds: 30,
    jobCheckSeconds: 300,
    historySeconds: 14 * 86_400,
  });
  expect(loaded?.policy.presets[0]).toMatchObject({
    market: "on-demand-only",
    jobTimeoutSeconds: 21_600,
    runnerGroup: "default",
    warm: 0,
  });
  expect(loaded?.policy.admission.publicRepositories).toBe("refuse");
});

test("an unknown key is named with its line, column and the nearest known key", () => {
  expect(problemsOf(`${minimal}limits:\n  machine: 3\n`)).toEqual([
    "line 10, column 3: limits.machine is not a known setting. Did you mean machines?",
  ]);
  expect(problemsOf(`${minimal}    lables: [a]\n`)).toEqual([
    "line 9, column 5: presets.small.lables is not a known setting. Did you mean labels?",
  ]);
});

test("wrong values are named with what would be right", () => {
  const text = minimal.replace("compute: local", "compute: dockr\n    max: -1\n    ram: lots\n    cpu:");
  expect(problemsOf(text)).toEqual([
    "line 8, column 14: presets.small.compute is not one of the choices. One of local, docker, ec2, fargate is expected. Did you mean docker?",
    "line 11, column 9: presets.small.cpu has no value. Give it a number, or remove it.",
    "line 10, column 10: presets.small.ram must be a number, not a text.",
    "line 9, column 10: presets.small.max must be at least 0.",
  ]);
});

test("a missing key is shown at the group that lacks it", () => {
  expect(problemsOf(minimal.replace("    architecture: arm64\n", ""))).toEqual([
    "line 6, column 3: presets.small.architecture is missing. One of x86_64, arm64 is expected.",
  ]);
});

test("a secret in plain text is refused, and shown nowhere", () => {
  const found = problemsOf(minimal.replace("{ file: webhook }", "hunter2"));
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/^line 3, column 18: secrets.webhookSecret is written here in plain text/);
  expect(found[0]).not.toContain("hunter2");
  const broken = problemsOf(minimal.replace("{ file: webhook }", "{ hunter2"));
  expect(broken.join()).not.toContain("hunter2");
});

test.each([
  ["an empty document", "", /empty/],
  ["only comments", "# nothing\n", /empty/],
  ["a text", "hello", /must be a group of settings, not a text/],
  ["two documents", `${minimal}---\n${minimal}`, /several documents/],
  ["a tab", minimal.replace("    arch", "\tarch"), /line 7, column 1: A tab/],
  ["a key twice", `${minimal}github: { appId: 8 }\n`, /line 9, column 1: This key is there twice/],
  ["a preset twice", `${minimal}  small: {}\n`, /line 9, column 3: This key is there twice/],
  ["an alias to nothing", minimal.replace("appId: 7", "appId: *other"), /anchors and aliases/i],
  ["a tag", minimal.replace("appId: 7", "appId: !!js/function x"), /tag/i],
  ["upper case in a preset's name", minimal.replace("small:", "Small:"), /not a valid name/],
  ["no preset", minimal.replace(/presets:[\s\S]*/, "presets: {}\n"), /Without a preset/],
  ["two references", minimal.replace("file: webhook", "file: a, environment: B"), /only one of them/],
  ["no reference", minimal.replace("file: webhook", ""), /only one of them/],
  ["a wildcard without publicUrl", `${minimal}server: { listen: "0.0.0.0:1" }\n`, /publicUrl is missing/],
  ["a page without token", `${minimal}server: { listen: "192.0.2.1:80" }\n`, /statusToken is missing/],
  ["a port too high", `${minimal}server: { listen: "127.0.0.1:70000" }\n`, /above 65535/],
  ["a label of ours", `${minimal}    labels: ["class:x"]\n`, /labels.0 starts with class:/],
  ["a label twice", `${minimal}    labels: [a, A]\n`, /labels.1 is there twice/],
  ["options of another compute", `${minimal}    docker: { user: x }\n`, /line 9.*has no effect/],
  ["a container without image", minimal.replace("local", "docker"), /image is missing/],
  [
    "a mapping to nowhere",
    `${minimal}labels: { mappings: [{ label: x, preset: smal }] }`,
    /Did you mean small/,
  ],
  ["a mapped system", `${minimal}labels: { mappings: [{ label: Linux }] }`, /meaning of its own/],
  ["both ways", `${minimal}labels: { mappings: [{ label: x, image: a, ami: b }] }`, /say the same/],
  [
    "containers cut off",
    minimal.replace("local", "docker\n    image: x"),
    /cannot reach this server on loopback/,
  ],
  ["warm above max", `${minimal}    warm: 11\n`, /more than max/],
  ["a file URL", minimal.replace("appId: 7", "appId: 7, server: 'file:///x'"), /github.server is not valid/],
])("%s is a clear problem", (_name, text, sentence) => {
  expect(problemsOf(text).join("\n")).toMatch(sentence);
});

test("anchors, aliases and merge keys work, and cannot be made to explode", () => {
  const anchored = minimal
    .replace("small:", "small: &small")
    .concat("  big:\n    <<: *small\n    labels: [big]\n");
  expect(check(anchored).loaded?.policy.presets.map((preset) => preset.architecture)).toEqual([
    "arm64",
    "arm64",
  ]);
  const levels = Array.from({ length: 12 }, (_, level) =>
    level === 0 ? "a0: &a0 [x, x]" : `a${level}: &a${level} [${`*a${level - 1}, `.repeat(9)}x]`,
  );
  expect(problemsOf(levels.join("\n")).join()).toMatch(/anchors and aliases/i);
});

test("doubtful settings are warnings", () => {
  const twins = `${minimal}    labels: [x]\n  other: { architecture: arm64, compute: local, labels: [X, arm64] }\n`;
  const warnings = (text: string) => check(text).warnings.map(problemText).join("\n");
  expect(warnings(twins)).toMatch(/presets.other.labels match the same jobs as presets.small/);
  expect(warnings(`${minimal}    labels: [x64]\n`)).toMatch(/labels.0 contradicts the preset/);
});

test("variables override settings, and are named when they are wrong", () => {
  const environment = { MAYFLY_LIMITS_MACHINES: "5", MAYFLY_SERVER_LOG_LEVEL: "debug", MAYFLY_TOKEN: "x" };
  const { loaded, warnings } = check(minimal, environment);
  expect(loaded?.policy.limits.machines).toBe(5);
  expect(loaded?.config.server.logLevel).toBe("debug");
  expect(warnings).toEqual([]);
  expect(problemsOf(minimal, { MAYFLY_LIMITS_MACHINES: "many" })).toEqual([
    "MAYFLY_LIMITS_MACHINES: limits.machines must be a number, not a text.",
  ]);
  expect(check(minimal, { MAYFLY_LIMIT_MACHINES: "5" }).warnings.map(problemText)).toEqual([
    "MAYFLY_LIMIT_MACHINES: is not a known setting and is ignored. Did you mean MAYFLY_LIMITS_MACHINES?",
  ]);
});

test("a missing document, a folder and a huge file are told to the operator", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-config-"));
  try {
    const huge = join(folder, "huge.yaml");
    await writeFile(huge, "#".repeat(1_100_000));
    const codes = [join(folder, "none.yaml"), folder, huge].map((path) =>
      loadConfig({ path, environment: {} }).catch((error: MayflyError) => `${error.kind} ${error.code}`),
    );
    expect(await Promise.all(codes)).toEqual([
      "operator CONFIG_MISSING",
      "operator CONFIG_UNREADABLE",
      "operator CONFIG_UNREADABLE",
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("whatever the document says, nothing but a MayflyError is thrown", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-config-"));
  const path = join(folder, "mayfly.yaml");
  const key = fc.oneof(
    fc.constantFrom("github", "presets", "labels", "mappings", "classes", "secrets", "server", "__proto__"),
    fc.string(),
  );
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: "small" },
      fc.jsonValue(),
      fc.dictionary(key, tie("node")),
      fc.array(tie("node")),
    ),
  })).node;
  const mutated = fc.tuple(fc.nat(minimal.length), fc.nat(9), fc.string()).map(([at, count, text]) => {
    return minimal.slice(0, at) + text + minimal.slice(at + count);
  });
  const document = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    tree.map((value) => stringify(value)),
    mutated,
  );
  try {
    await fc.assert(
      fc.asyncProperty(document, async (text) => {
        await writeFile(path, text);
        try {
          await loadConfig({ path, environment: {} });
        } catch (error) {
          if (!(error instanceof MayflyError)) throw error;
          expect(error.kind).toBe("operator");
        }
      }),
      { numRuns: 300 },
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});
