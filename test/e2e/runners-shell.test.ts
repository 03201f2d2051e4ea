import { spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { machineStatus } from "../../src/core/status.ts";
import { machine } from "../builders.ts";
import { now } from "../support/cli-scenes.ts";
import { type ScriptedServer, startScriptedServer } from "../support/scripted-server.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const task = "0123456789abcdef0123456789abcdef";
const instance = "i-0123456789abcdef0";

const onFargate = machine({ id: "m-task", state: "busy", compute: "fargate", providerId: task });
const machines = [
  onFargate,
  machine({ id: "m-instance", state: "busy", compute: "ec2", providerId: instance }),
  machine({ id: "m-container", state: "busy", compute: "docker", providerId: "c0ffee" }),
  machine({ id: "m-process", state: "busy", compute: "local", providerId: "77" }),
  machine({ id: "m-odd", state: "busy", compute: "ec2", providerId: "--profile=x" }),
  { ...onFargate, id: "m-ended", state: "ended" as const },
];

let folder: string;
let server: ScriptedServer;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-shell-"));
  const script = machines.map((each) => [`GET /api/machines/${each.id}`, { body: machineStatus(each, now) }]);
  server = await startScriptedServer(Object.fromEntries(script), now);
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** A program of this name, alone on the path, that notes what it was called with. */
async function program(name: string, body = "exit 0"): Promise<void> {
  const file = join(folder, name);
  await writeFile(file, `#!/bin/sh\necho "${name} $*" >>"${folder}/calls"\n${body}\n`);
  await chmod(file, 0o755);
}

/** An AWS CLI that describes tasks and instances like this. */
const aws = (described: string, ending = "exit 0") =>
  program(
    "aws",
    `case "$*" in *describe-*) echo '${described}' ;; *-command*|*start-session*) ${ending} ;; esac`,
  );

const allowed = (agent: string, isAllowed = true) =>
  JSON.stringify({
    tasks: [
      {
        enableExecuteCommand: isAllowed,
        containers: [{ managedAgents: [{ name: "ExecuteCommandAgent", lastStatus: agent }] }],
      },
    ],
  });

async function calls(): Promise<readonly string[]> {
  return (await readFile(join(folder, "calls"), "utf8")).trim().split("\n");
}

function shell(
  ...words: readonly string[]
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [mainFile, "runners", "shell", ...words], {
    cwd: folder,
    env: { PATH: folder, HOME: folder, MAYFLY_URL: server.url },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  child.stdin.end();
  return new Promise((resolve) => child.on("close", (exitCode) => resolve({ exitCode, stdout, stderr })));
}

describe("mayfly runners shell", () => {
  test("opens one in a task by ECS Exec, when the task allows it", async () => {
    await program("session-manager-plugin");
    await aws(allowed("RUNNING"), "echo hello from the task");
    const { exitCode, stdout, stderr } = await shell("m-task", "--deployment", "ci", "--region", "eu-west-1");
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "hello from the task\n" });
    expect(stderr).toContain("can read what the job does");
    expect((await calls()).at(-1)).toBe(
      `aws ecs execute-command --region eu-west-1 --cluster ci --task ${task} --container runner --interactive --command /bin/sh`,
    );
  });

  test("opens one on an instance by Session Manager, and fails as that fails", async () => {
    await program("session-manager-plugin");
    await aws('{"InstanceInformationList":[{"PingStatus":"Online"}]}', "exit 254");
    expect(await shell("m-instance")).toMatchObject({ exitCode: 1 });
    expect((await calls()).at(-1)).toBe(`aws ssm start-session --target ${instance}`);
  });

  test.each([
    ["no AWS CLI", "m-task", async () => {}, "There is no aws on this machine", "docs.aws.amazon.com/cli"],
    ["no plugin", "m-task", () => aws("{}"), "There is no session-manager-plugin", "Session Manager plugin"],
    [
      "a preset that does not allow it",
      "m-task",
      async () => Promise.all([program("session-manager-plugin"), aws(allowed("RUNNING", false))]),
      "Machine m-task was launched without a shell.",
      "Set fargate.shell: true for the preset linux-x64",
    ],
    [
      "an agent that does not run",
      "m-task",
      async () => Promise.all([program("session-manager-plugin"), aws(allowed("STOPPED"))]),
      "The agent of ECS Exec is STOPPED",
      "FargateShell=yes",
    ],
    [
      "another region",
      "m-task",
      async () => Promise.all([program("session-manager-plugin"), aws('{"tasks":[]}')]),
      "The cluster mayfly has no task",
      "--deployment",
    ],
    [
      "an instance without the agent",
      "m-instance",
      async () => Promise.all([program("session-manager-plugin"), aws('{"InstanceInformationList":[]}')]),
      "Systems Manager does not reach",
      "AmazonSSMManagedInstanceCore",
    ],
    [
      "credentials that have expired",
      "m-task",
      async () =>
        Promise.all([
          program("session-manager-plugin"),
          program("aws", 'case "$*" in *describe*) echo ExpiredToken >&2; exit 255 ;; esac'),
        ]),
      "ExpiredToken",
      "aws sts get-caller-identity",
    ],
    ["a machine that has ended", "m-ended", async () => {}, "Machine m-ended has ended.", "runners list"],
    ["a name that is an option", "m-odd", async () => {}, "is none that a shell could be opened on", "log"],
  ])("with %s says what is missing, and its cure", async (_what, id, prepare, says, cure) => {
    await prepare();
    const { exitCode, stdout, stderr } = await shell(id);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toContain(says);
    expect(stderr).toContain(cure);
  });

  test("on a box says what to run there; with --json, what it would run", async () => {
    expect((await shell("m-container")).stdout).toBe(
      "On the host of the server: docker exec -it c0ffee /bin/sh\n",
    );
    const process = await shell("m-process");
    expect(process.exitCode).toBe(2);
    expect(process.stderr).toContain("it is processes on the host of the server");
    const { stdout } = await shell("m-instance", "--json");
    expect(JSON.parse(stdout)).toEqual({
      ...{ machine: "m-instance", compute: "ec2" },
      command: ["aws", "ssm", "start-session", "--target", instance],
    });
  });
});
