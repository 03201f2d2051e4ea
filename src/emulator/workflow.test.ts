import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fastCheck from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { planWorkflow } from "./workflow.ts";
import { WorkflowError } from "./workflow-error.ts";

const path = ".github/workflows/ci.yml";

/** The planned jobs of `jobs:` in YAML. */
function plan(jobs: string) {
  return planWorkflow(`on: push\njobs:\n${jobs}`, { path }).jobs;
}

const steps = "steps: [{ run: 'true' }]";

describe("where a job runs", () => {
  test.each([
    ["ubuntu-latest", { labels: ["ubuntu-latest"] }],
    ["[self-hosted, linux, x64]", { labels: ["self-hosted", "linux", "x64"] }],
    ["{ group: large, labels: [linux] }", { labels: ["linux"], runnerGroup: "large" }],
    ["{ group: large }", { labels: [], runnerGroup: "large" }],
    ["{ labels: gpu }", { labels: ["gpu"] }],
    [`\${{ inputs.runner }}`, { labels: [`\${{ inputs.runner }}`] }],
  ])("runs-on: %s", (runsOn, expected) => {
    expect(plan(`  build:\n    runs-on: ${runsOn}\n    ${steps}`)).toMatchObject([expected]);
  });

  test("a value of the matrix can be a label, a part of one, or the whole list", () => {
    const matrix = "strategy: { matrix: { os: [[self-hosted, arm64], linux] } }";
    expect(plan(`  a:\n    ${matrix}\n    runs-on: \${{ matrix.os }}\n    ${steps}`)).toMatchObject([
      { labels: ["self-hosted", "arm64"] },
      { labels: ["linux"] },
    ]);
    const cpu = "strategy: { matrix: { machine: [{ cpu: 4 }] } }";
    expect(
      plan(`  a:\n    ${cpu}\n    runs-on: "mayfly/linux/cpu=\${{ matrix.machine.cpu }}"\n    ${steps}`),
    ).toMatchObject([{ labels: ["mayfly/linux/cpu=4"] }]);
  });

  test("the caller can send jobs elsewhere", () => {
    const text = `jobs: { a: { runs-on: ubuntu-latest, ${steps} } }`;
    const runsOn = (labels: readonly string[]) => labels.map((label) => `mapped-${label}`);
    expect(planWorkflow(text, { path, runsOn }).jobs[0]?.labels).toEqual(["mapped-ubuntu-latest"]);
  });
});

describe("names", () => {
  test("carry the values of the matrix, unless the name already says them", () => {
    const matrix = "strategy: { matrix: { node: [20, 22], os: [ubuntu-latest] } }";
    const names = (name: string) =>
      plan(`  build:\n    ${name}\n    ${matrix}\n    runs-on: x\n    ${steps}`).map((job) => job.name);
    expect(names("")).toEqual(["build (20, ubuntu-latest)", "build (22, ubuntu-latest)"]);
    expect(names("name: Test")).toEqual(["Test (20, ubuntu-latest)", "Test (22, ubuntu-latest)"]);
    expect(names(`name: "Node \${{ matrix.node }}"`)).toEqual(["Node 20", "Node 22"]);
  });

  test("are never longer than GitHub shows them", () => {
    const matrix = `strategy: { matrix: { long: [${"x".repeat(200)}] } }`;
    const [job] = plan(`  build:\n    ${matrix}\n    runs-on: x\n    ${steps}`);
    expect(job?.name).toHaveLength(100);
  });
});

describe("matrix", () => {
  test("include extends what it does not contradict and adds what fits nowhere, as in GitHub's example", () => {
    const jobs = plan(`  a:
    runs-on: x
    ${steps}
    strategy:
      matrix:
        fruit: [apple, pear]
        animal: [cat, dog]
        include:
          - color: green
          - color: pink
            animal: cat
          - fruit: apple
            shape: circle
          - fruit: banana
          - fruit: banana
            animal: cat
`);
    expect(jobs.map((job) => job.matrix)).toEqual([
      { fruit: "apple", animal: "cat", color: "pink", shape: "circle" },
      { fruit: "apple", animal: "dog", color: "green", shape: "circle" },
      { fruit: "pear", animal: "cat", color: "pink" },
      { fruit: "pear", animal: "dog", color: "green" },
      { fruit: "banana" },
      { fruit: "banana", animal: "cat" },
    ]);
  });

  test("has at most 256 jobs", () => {
    const values = (count: number) => `[${Array.from({ length: count }, (_, index) => index)}]`;
    const job = (count: number) =>
      `  a:\n    strategy: { matrix: { one: ${values(16)}, two: ${values(count)} } }\n    runs-on: x\n    ${steps}`;
    expect(plan(job(16))).toHaveLength(256);
    expect(() => plan(job(17))).toThrow(
      /ci\.yml:4: jobs\.a\.strategy\.matrix: The matrix has 272 combinations/,
    );
  });

  test("for any axes: the product without exclusions, each job once, then what include adds", () => {
    const value = fastCheck.oneof(
      fastCheck.integer({ min: 0, max: 5 }),
      fastCheck.constantFrom("a", "b"),
      fastCheck.boolean(),
    );
    const axis = fastCheck.uniqueArray(value, { minLength: 1, maxLength: 4, selector: String });
    const axes = fastCheck.dictionary(fastCheck.constantFrom("one", "two", "three"), axis, { minKeys: 1 });
    fastCheck.assert(
      fastCheck.property(axes, fastCheck.nat(), (matrix, choice) => {
        const text = (strategy: object) =>
          stringify({
            jobs: { a: { "runs-on": "x", steps: [{ run: "true" }], strategy: { matrix: strategy } } },
          });
        const all = planWorkflow(text(matrix), { path }).jobs.map((job) => job.matrix);
        const size = Object.values(matrix).reduce((product, values) => product * values.length, 1);
        expect(new Set(all.map((entry) => JSON.stringify(entry))).size).toBe(size);
        const unwanted = all[choice % all.length]!;
        const include = [{ ...unwanted, extra: "added" }];
        const changed = planWorkflow(text({ ...matrix, exclude: [unwanted], include }), { path }).jobs;
        expect(changed.map((job) => job.matrix)).toEqual([
          ...all.filter((entry) => entry !== unwanted),
          { ...unwanted, extra: "added" },
        ]);
      }),
      { numRuns: 60 },
    );
  });
});

test("conditions, limits and reusable workflows", () => {
  const jobs = plan(`
  never: { if: false, runs-on: x, ${steps} }
  always: { if: "\${{ always() && true }}", runs-on: x, ${steps} }
  failed: { if: failure(), runs-on: x, ${steps} }
  other: { if: "github.ref == 'main'", runs-on: x, ${steps}, timeout-minutes: 5, continue-on-error: true }
  called: { uses: ./.github/workflows/shared.yml, needs: other }
`);
  expect(jobs.map((job) => job.condition)).toEqual(["never", "always", "failure", "success", "success"]);
  expect(jobs[3]).toMatchObject({ timeoutMinutes: 5, continueOnError: true, needs: [] });
  expect(jobs[4]).toMatchObject({ reusableWorkflow: "./.github/workflows/shared.yml", needs: ["other"] });
});

test("steps keep what the runner needs, and inherit from the job and the workflow", () => {
  const [job] = planWorkflow(
    `
env: { A: 1, B: 2 }
defaults: { run: { shell: bash } }
jobs:
  a:
    runs-on: x
    env: { B: 3 }
    defaults: { run: { working-directory: sub } }
    steps:
      - uses: actions/checkout@v4
      - { id: one, name: First, run: "echo 1\\necho 2", shell: sh, env: { C: true }, if: always() }
`,
    { path },
  ).jobs;
  expect(job).toMatchObject({
    environmentVariables: { A: "1", B: "3" },
    defaultShell: "bash",
    defaultWorkingDirectory: "sub",
    steps: [
      { name: "Run actions/checkout@v4", uses: "actions/checkout@v4" },
      { id: "one", name: "First", shell: "sh", environmentVariables: { C: "true" }, condition: "always" },
    ],
  });
});

describe("mistakes name the file, the line and the key", () => {
  test.each([
    ["jobs:\n  a:\n    runs-on: x\n\tsteps: []", "ci.yml:4: "],
    ["on: push", "ci.yml:1: jobs: A workflow needs jobs."],
    ["jobs: {}", "ci.yml:1: jobs: A workflow needs at least one job."],
    [`jobs:\n  a:\n    ${steps}`, "ci.yml:3: jobs.a.runs-on: The job does not say where it runs."],
    ["jobs:\n  a:\n    runs-on: x", "ci.yml:3: jobs.a.steps: The job needs a list of steps."],
    [
      "jobs:\n  a:\n    runs-on: x\n    steps:\n      - run: a\n      - name: b",
      "ci.yml:6: jobs.a.steps.1: A step needs",
    ],
    [
      `jobs:\n  a:\n    runs-on: x\n    needs: b\n    ${steps}`,
      "ci.yml:4: jobs.a.needs: There is no job `b`.",
    ],
    [
      `jobs:\n  a: { runs-on: x, needs: b, ${steps} }\n  b: { runs-on: x, needs: a, ${steps} }`,
      "ci.yml:3: jobs.b.needs: The job waits for itself: a → b → a.",
    ],
    [
      `jobs:\n  a:\n    runs-on: [x, { y: z }]\n    ${steps}`,
      "ci.yml:3: jobs.a.runs-on: This has to be a name",
    ],
    [`jobs:\n  1a: { runs-on: x, ${steps} }`, "ci.yml:2: jobs.1a: A job's key starts with"],
    [`jobs:\n  a: *missing`, "ci.yml:2: Unresolved alias"],
    ["- a\n- b", "ci.yml:1: A workflow file has to be a mapping"],
  ])("%j", (text, message) => {
    expect(() => planWorkflow(text, { path })).toThrow(WorkflowError);
    expect(() => planWorkflow(text, { path })).toThrow(message);
  });

  test("and nothing else is ever thrown, whatever the file holds", () => {
    const piece = fastCheck.constantFrom(
      "jobs",
      "a",
      "runs-on",
      "steps",
      "strategy",
      "matrix",
      "include",
      "needs",
      "if",
      "env",
      "run",
    );
    const document = fastCheck.object({ key: piece, maxDepth: 6, withNullPrototype: false });
    fastCheck.assert(
      fastCheck.property(
        fastCheck.oneof(
          document.map((value) => stringify(value)),
          fastCheck.string(),
        ),
        (text) => {
          try {
            expect(planWorkflow(text, { path }).jobs.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toBeInstanceOf(WorkflowError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("example workflows", () => {
  const folder = new URL("../../examples/workflows/", import.meta.url);
  const counts: Readonly<Record<string, number>> = {
    "compiled-service.yml": 8,
    "monorepo-release.yml": 29,
    "node-library.yml": 6,
  };

  test.each(readdirSync(folder).sort())("%s", (name) => {
    const file = fileURLToPath(new URL(name, folder));
    expect(planWorkflow(readFileSync(file, "utf8"), { path: file }).jobs).toHaveLength(counts[name] ?? -1);
  });
});
