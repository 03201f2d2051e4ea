import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import {
  environmentOfProcess,
  type FakeTaskOptions,
  startFakeTask,
} from "../../../test/support/fake-task.ts";
import { programPath } from "../../../test/support/search-path.ts";
import { verifySignature } from "../../../test/support/signature-verifier.ts";
import { runAnswer, startStubControlPlane } from "../../../test/support/stub-control-plane.ts";
import { taskScript } from "./task-script.ts";

const taskId = "0123456789abcdef0123456789abcdef";
const region = "eu-west-1";
/** Another account than root's is needed to see what it cannot see. */
const isRoot = process.getuid?.() === 0;
const startJob = 'echo "Listening for Jobs"; bash -e "$ACTIONS_RUNNER_HOOK_JOB_STARTED"; ';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function start(options: Partial<FakeTaskOptions> = {}) {
  const root = mkdtempSync(join(tmpdir(), "mayfly-task-"));
  chmodSync(root, 0o755);
  cleanUps.push(() => rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  const controlPlane = await startStubControlPlane({ claims: [runAnswer()] });
  cleanUps.push(() => controlPlane.close());
  const { environment, ...rest } = options;
  const task = await startFakeTask({
    script: taskScript(),
    taskId,
    root,
    ...rest,
    environment: { MAYFLY_URL: controlPlane.url, MAYFLY_REGION: region, ...environment },
  });
  cleanUps.push(() => task.close());
  return {
    ...task,
    controlPlane,
    root,
    kept: (file: string) => readFileSync(join(root, "opt/mayfly/runner", file), "utf8"),
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("the script of a task", () => {
  it("fits a task definition, and is one for the shells of the images", () => {
    const script = taskScript();
    expect(Buffer.byteLength(JSON.stringify(script))).toBeLessThan(56 * 1024);
    for (const shell of ["sh", "dash", "bash", "busybox sh"]) {
      const [command = "", ...before] = shell.split(" ");
      if (programPath(command) !== undefined) execFileSync(command, [...before, "-n", "-c", script]);
    }
  });

  it.skipIf(programPath("shellcheck") === undefined)("passes shellcheck", () => {
    execFileSync("shellcheck", [fileURLToPath(new URL("../../agent/task.sh", import.meta.url))]);
  });

  it("refuses an image whose runner is root's, or nobody's at all", async () => {
    for (const runnerUser of ["root", "nobody-at-all"]) {
      const task = await start({ listener: "exit 0", runnerUser });
      expect(await task.ended).toBe(1);
      expect(task.log()).toContain(`The account ${runnerUser} of the image does not exist, or is root's.`);
      expect(task.controlPlane.requests).toEqual([]);
    }
  });
});

describe.skipIf(!isRoot)("a task", () => {
  it("names itself by its task id, signs with its role, runs one job and ends", async () => {
    const task = await start({ listener: `${startJob} exit 0` });
    expect(await task.ended).toBe(0);
    const { requests } = task.controlPlane;
    expect(requests.map((one) => [one.machineId, one.form.step ?? one.what])).toEqual([
      [`fargate/${taskId}`, "claim"],
      [`fargate/${taskId}`, "listening"],
      [`fargate/${taskId}`, "job-started"],
      [`fargate/${taskId}`, "exited"],
    ]);
    const credentials = { [task.credentials.accessKeyId]: task.credentials };
    for (const request of requests) {
      const verdict = verifySignature(request, {
        service: "execute-api",
        region,
        now: Date.now(),
        credentials,
      });
      expect(verdict.kind).toBe("valid");
    }
  });

  it.each(["7.81.0", "7.76.1"])(
    "whose curl is %s, and cannot sign, does so by the runner's own Node",
    async (curlVersion) => {
      const task = await start({ listener: `${startJob} echo "a b&c=d+e" >&2; exit 1`, curlVersion });
      await task.ended;
      expect(task.log()).toContain(`The curl of this image cannot sign (${curlVersion})`);
      const { requests } = task.controlPlane;
      expect(requests.map((one) => one.form.step ?? one.what)).toEqual([
        "claim",
        "listening",
        "job-started",
        "exited",
      ]);
      const credentials = { [task.credentials.accessKeyId]: task.credentials };
      const options = { service: "execute-api", region, now: Date.now(), credentials };
      for (const request of requests) expect(verifySignature(request, options).kind).toBe("valid");
      expect(task.controlPlane.lastReport("exited")).toMatchObject({
        ...{ "exit-code": "1", "ran-job": "true" },
        log: expect.stringContaining("a b&c=d+e"),
      });
      const seen = JSON.stringify(requests.map(({ form }) => form)) + task.log();
      expect(seen).not.toContain(task.credentialsPath);
    },
  );

  it("does not run what a job has put in front of the system's programs, and the job does", async () => {
    const programs = [
      "head",
      "sed",
      "sleep",
      "grep",
      "awk",
      "tail",
      "tr",
      "rm",
      "id",
      "setpriv",
      "setsid",
      "env",
    ];
    const plant = [
      'touch ran-as; chmod 666 ran-as; image="$TMPDIR/../image"',
      `for name in ${programs.join(" ")} foreign; do printf '#!/bin/sh\\nexec /usr/bin/id -u >>%s\\n' "$PWD/ran-as" >"$image/$name"; done`,
      'chmod 755 "$image"/*; foreign; /bin/sleep 2',
    ].join("; ");
    const task = await start({ listener: `${startJob} ${plant}; exit 0` });
    await task.ended;
    const nobody = execFileSync("id", ["-u", "nobody"], { encoding: "utf8" });
    expect(task.kept("ran-as")).toBe(nobody);
    expect(task.controlPlane.lastReport("exited")).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("does not run what a job has put in the place of the runner's Node", async () => {
    const plant = [
      "touch ran-as; chmod 666 ran-as; mv externals theirs; mkdir -p externals/node20/bin",
      `printf '#!/bin/sh\\n(id -u; cat) >>%s\\n' "$PWD/ran-as" >externals/node20/bin/node`,
      "chmod 755 externals/node20/bin/node",
    ].join("; ");
    const task = await start({ listener: `${startJob} ${plant}; exit 0`, curlVersion: "7.81.0" });
    await task.ended;
    // Control: the job could.
    expect(task.kept("externals/node20/bin/node")).toContain("ran-as");
    expect(task.kept("ran-as")).toBe("");
    expect(task.controlPlane.lastReport("exited")).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("E11: keeps its role's credentials from the job, which looks everywhere that it can", async () => {
    const look = [
      "env; env >own",
      "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
      'grep -rasF "$(id -un)" "$TMPDIR"; ls -lR "$TMPDIR"; cat "$TMPDIR"/*/* "$TMPDIR"/*/*/*',
      "dd if=/proc/$PPID/mem of=/dev/null bs=1 count=1 && echo MEMORY-IS-OPEN",
      "for path in / /v2/credentials /v2/credentials/ /v2/metadata; do curl -s http://169.254.170.2$path; done",
    ].join("; ");
    const marker = "A-MARK-THAT-JOBS-MAY-SEE";
    const task = await start({
      listener: `${startJob} for i in 1 2 3; do (${look}) >>seen 2>&1; sleep 0.2; done; id -un >account; sleep 600`,
      environment: { MAYFLY_NOTICE_GRACE_SECONDS: "1", MARK: marker },
    });
    await until(() => task.controlPlane.steps().includes("job-started"));
    await until(() => {
      try {
        return task.kept("account") !== "";
      } catch {
        return false;
      }
    });
    const pid = task.process.pid ?? 0;
    const agents = environmentOfProcess(pid);
    task.process.kill("SIGTERM");
    await task.ended;
    const seen = task.kept("seen");
    // Controls: the job is another account's, it has looked, and the credentials were in use.
    expect(task.kept("account").trim()).toBe("nobody");
    expect(seen).toContain(marker);
    expect(agents).toContain(marker);
    expect(task.asked.filter((path) => path === task.credentialsPath).length).toBeGreaterThan(1);
    const { secretAccessKey, sessionToken } = task.credentials;
    for (const secret of [task.credentialsPath, secretAccessKey, sessionToken])
      expect(seen).not.toContain(secret);
    expect(seen).not.toContain("MEMORY-IS-OPEN");
    expect(task.kept("own")).not.toMatch(/AWS_CONTAINER_CREDENTIALS|ECS_CONTAINER_METADATA|ECS_AGENT/);
    // Not even root finds it where environments are read.
    expect(agents).not.toContain(task.credentialsPath);
    const said = JSON.stringify(task.controlPlane.requests.map(({ form }) => form)) + task.log();
    expect(said).not.toContain(task.credentialsPath);
  });

  it("that is told to stop lets a running job end in time, and stops one that does not", async () => {
    const patient = await start({ listener: `${startJob} sleep 1.5; echo done >end; exit 0` });
    await until(() => patient.controlPlane.steps().includes("job-started"));
    patient.process.kill("SIGTERM");
    expect(await patient.ended).toBe(0);
    expect(patient.kept("end")).toBe("done\n");
    const long = await start({
      listener: `${startJob} sleep 600`,
      environment: { MAYFLY_NOTICE_GRACE_SECONDS: "1" },
    });
    await until(() => long.controlPlane.steps().includes("job-started"));
    long.process.kill("SIGTERM");
    await long.ended;
    expect(long.controlPlane.lastReport("exited")).toMatchObject({ "exit-code": "143", "ran-job": "true" });
    // Why it was stopped is ECS's to say.
    expect(long.controlPlane.steps()).not.toContain("interrupted");
  });

  it("that is told to stop before it has a job takes none", async () => {
    const task = await start({ listener: 'echo "Listening for Jobs"; sleep 600' });
    await until(() => task.controlPlane.steps().includes("listening"));
    task.process.kill("SIGTERM");
    await task.ended;
    expect(task.controlPlane.lastReport("exited")).toMatchObject({ "ran-job": "false" });
  });

  it("without a role says so and ends", async () => {
    const task = await start({
      listener: "exit 0",
      environment: { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "" },
    });
    expect(await task.ended).toBe(1);
    expect(task.log()).toContain("the task has no role");
  });
});
