import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { expectTranscript } from "../support/transcript.ts";

/* Without an account: what is read of one is tested in test/aws/doctor.test.ts. */

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-setup-aws-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ended(child: ChildProcess, onText: (stdout: string) => void = () => {}): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
    onText(stdout);
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.once("close", (exitCode) => resolve({ exitCode, stdout, stderr })));
}

function setup(...words: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [mainFile, "setup", "aws", ...words], {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return ended(child);
}

test("options alone make a valid configuration, and commands that need no account", async () => {
  const all = ["--yes", "--json", "--region", "eu-west-1", "--app-id", "77", "--machines", "7"];
  const { exitCode, stdout, stderr } = await setup(...all, "--presets", "fargate,linux-arm64");
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toContain("The account is not looked at. The environment has no AWS_ACCESS_KEY_ID");
  const { config, policy, warnings } = await loadConfig({
    path: join(folder, "mayfly.yaml"),
    environment: {},
  });
  expect(warnings).toEqual([]);
  expect(config.github).toMatchObject({ appId: 77, server: "https://github.com" });
  expect(policy.presets.map(({ name, compute, max }) => [name, compute, max])).toEqual([
    ["linux-arm64", "ec2", 7],
    ["fargate", "fargate", 7],
  ]);
  expect(policy.limits).toEqual({ machines: 7, perRepository: 7, dailyBudgetUsd: 50 });

  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ region: "eu-west-1", way: "cloudformation", account: null, vpcId: null });
  const commands = document.commands.map(({ command }: { command: string }) => command).join("\n");
  expect(commands).toContain("--filters Name=is-default,Values=true");
  expect(commands).toContain("Fargate=yes");
  expect(commands).toContain("--aws-service-name ecs.amazonaws.com");
  // What is printed is for a shell.
  expect(spawnSync("bash", ["-n"], { input: commands }).status).toBe(0);
});

test.each([
  [["--with", "terraform"], "-var region=eu-west-1"],
  [["--with", "cdk", "--vpc", "new"], "put-secret-value --secret-id mayfly/app-private-key"],
  [
    ["--with", "cdk", "--vpc", "vpc-0123456789abcdef0", "--subnets", "eu-west-1a=subnet-0123456789abcdef0"],
    `--context vpcId=vpc-0123456789abcdef0 --context 'subnets={"eu-west-1a":"subnet-0123456789abcdef0"}'`,
  ],
])("the commands are those of the way that was chosen: %j", async (words, part) => {
  const { stdout } = await setup("--yes", "--region", "eu-west-1", "--app-id", "77", ...words);
  expect(stdout).toContain(part);
  expect(stdout).toContain("mayfly doctor");
});

test.each(["cloudformation", "terraform", "cdk"])("the page about %s shows what is printed", async (way) => {
  const words = ["--yes", "--overwrite", "--region", "eu-west-1", "--with", way];
  await writeFile(join(folder, "mayfly.yaml"), githubOf(77));
  const { exitCode, stdout } = await setup(...words);
  expect(exitCode).toBe(0);
  const page = `docs/start/aws-${way}.md`;
  expectTranscript(
    { page, name: `setup-aws-${way}` },
    `$ mayfly setup aws ${words.join(" ")}\n${stdout}`,
    [],
  );
});

/** A configuration that has an App already. */
function githubOf(appId: number): string {
  return `github: { appId: ${appId}, server: https://octo.ghe.com }\npresets: { a: { architecture: arm64, compute: ec2, cpu: 2 } }\n`;
}

test("what is there is not written over, and its App is taken over", async () => {
  const path = join(folder, "mayfly.yaml");
  await writeFile(path, githubOf(42));
  const refused = await setup("--yes", "--region", "eu-west-1");
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain("mayfly.yaml exists already");
  expect(await readFile(path, "utf8")).toContain("{ a:");

  expect((await setup("--yes", "--region", "eu-west-1", "--overwrite")).exitCode).toBe(0);
  const { config } = await loadConfig({ path, environment: {} });
  expect(config.github).toMatchObject({ appId: 42, server: "https://octo.ghe.com" });
});

test.each([
  [["--yes", "--app-id", "77"], "--region"],
  [["--yes", "--region", "eu-west-1"], "--app-id"],
  [["--region", "eu-west-1", "--app-id", "77"], "--yes"],
  [["--yes", "--region", "Ireland", "--app-id", "77"], "Ireland is no region."],
  [["--yes", "--region", "eu-west-1", "--app-id", "77", "--presets", "vax"], "vax is none of them."],
  [["--yes", "--region", "eu-west-1", "--app-id", "77", "--vpc", "new"], "Only the CDK makes a network."],
  [
    ["--yes", "--region", "eu-west-1", "--app-id", "77", "--subnets", "eu-west-1a=subnet-0123456789abcdef0"],
    "Name it with --vpc.",
  ],
])("%j is refused with 2, and nothing is written", async (words, sentence) => {
  const { exitCode, stdout, stderr } = await setup(...words);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toContain(sentence);
  await expect(readFile(join(folder, "mayfly.yaml"))).rejects.toThrow("ENOENT");
});

/** `script` gives its command a terminal; it belongs to util-linux, which every Linux has. */
const hasScript = spawnSync("script", ["--version"]).status === 0;

describe.skipIf(!hasScript)("on a terminal", () => {
  test("each thing is asked, and again where the answer cannot be used", async () => {
    const line = `"${process.execPath}" "${mainFile}" setup aws`;
    const child = spawn("script", ["-qec", line, "/dev/null"], {
      cwd: folder,
      env: { PATH: process.env.PATH, NO_COLOR: "1", SHELL: "/bin/sh" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const answers = [
      ["Region: ", "somewhere"],
      ["is no region. Write it as eu-west-1.", ""],
      ["Region: ", "eu-west-1"],
      ["Id of the GitHub App: ", "77"],
      ["Kinds of runners [linux-x64,linux-arm64]: ", "linux-x64"],
      ["Machines at once [20]: ", ""],
      ["US dollars a day at most (0: no limit) [50]: ", "0"],
      ["Deployed with cloudformation, terraform, cdk [cloudformation]: ", "terraform"],
      ["VPC [default]: ", ""],
    ];
    let from = 0;
    const { exitCode, stdout } = await ended(child, (text) => {
      for (;;) {
        const [question = "", answer = ""] = answers[0] ?? [];
        const place = text.indexOf(question, from);
        if (answers.length === 0 || place < 0) return;
        from = place + question.length;
        answers.shift();
        if (question.endsWith(": ")) child.stdin.write(`${answer}\n`);
      }
    });
    expect(exitCode, stdout).toBe(0);
    expect(answers).toEqual([]);
    expect(stripVTControlCharacters(stdout)).toContain("mayfly.yaml is written. Next");
    const { policy } = await loadConfig({ path: join(folder, "mayfly.yaml"), environment: {} });
    expect(policy.presets.map(({ name, max }) => [name, max])).toEqual([["linux-x64", 20]]);
    expect(policy.limits).toEqual({ machines: 20, perRepository: 20 });
  });
});
