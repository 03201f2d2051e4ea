import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { type MetadataService, startMetadataService } from "../../test/support/metadata-service.ts";
import { programPath } from "../../test/support/search-path.ts";
import { verifySignature } from "../../test/support/signature-verifier.ts";
import {
  type MachineRequest,
  runAnswer,
  type StubAnswer,
  type StubControlPlane,
  type StubScript,
  startStubControlPlane,
  stubJitConfig,
} from "../../test/support/stub-control-plane.ts";

const agent = fileURLToPath(new URL("agent.sh", import.meta.url));
const credential = "credential-0123456789abcdefghij";
const shells = ["sh", "dash", "bash", "busybox sh"].filter(isInstalled);

/** Stub listeners. The job is what they start after they have run the hook, as the real runner does. */
const startJob = 'echo "Listening for Jobs"; bash -e "$ACTIONS_RUNNER_HOOK_JOB_STARTED"; ';
const givenJob = 'echo "2026-11-21 16:40:00Z: Running job: build";';
const listeners = {
  normalJob: `${startJob} sleep 0.1; exit 0`,
  noJob: 'echo "Listening for Jobs"; echo "The runner no longer exists on the server"; exit 0',
  crash: 'echo "Unhandled exception"; exit 134',
  longJob: `${startJob} sleep 600`,
  deafJob: `trap "" TERM; ${startJob} while :; do sleep 1; done`,
  idle: 'echo "Listening for Jobs"; sleep 600',
};

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

for (const shell of shells) {
  const setsSignals = canSetSignals(shell);
  describe(`the agent in ${shell}`, () => {
    it("claims, runs the listener, reports each step and ends", async () => {
      const run = await runAgent({ shell, listener: listeners.normalJob });
      expect(run.steps).toEqual(["listening", "job-started", "exited"]);
      expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
      expect(run.exited).not.toHaveProperty("log");
      expect(run.controlPlane.requests.every((one) => one.authorization === `Bearer ${credential}`)).toBe(
        true,
      );
      expect(readdirSync(run.temporaryDirectory)).toEqual([]);
    });

    it("says that no job ran when the listener ends well without one", async () => {
      const run = await runAgent({ shell, listener: listeners.noJob });
      expect(run.steps).toEqual(["listening", "exited"]);
      expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "false" });
      expect(run.exited?.log).toContain("The runner no longer exists on the server");
    });

    it("ends a job that passes its limit, even one that ignores SIGTERM", async () => {
      const run = await runAgent({
        shell,
        listener: listeners.deafJob,
        claims: [runAnswer({ jobTimeoutSeconds: 1 })],
        environment: { MAYFLY_STOP_GRACE_SECONDS: "1" },
      });
      expect(run.exited).toMatchObject({ "exit-code": "137", "ran-job": "true" });
      expect(run.exited?.log).toContain("limit of 1 seconds");
    });

    it("stops the listener and reports when it is told to end", async () => {
      const run = await runAgent({
        shell,
        listener: listeners.longJob,
        during: async ({ process, controlPlane }) => {
          await until(() => controlPlane.steps().includes("job-started"));
          process.kill("SIGTERM");
        },
      });
      expect(run.steps).toEqual(["listening", "job-started", "exited"]);
      expect(run.exited).toMatchObject({ "exit-code": "143", "ran-job": "true" });
    });

    it(`leaves SIGINT to the job, by which its steps are cancelled${setsSignals ? "" : ", but its env cannot"}`, async () => {
      const run = await runAgent({
        shell,
        listener: `grep SigIgn /proc/self/status > "$HOME/signals"; ${listeners.normalJob}`,
      });
      const ignored = readFileSync(join(run.home, "signals"), "utf8").split(/\s+/)[1] ?? "";
      const interruptAndQuit = 0b110;
      expect(Number.parseInt(ignored, 16) & interruptAndQuit).toBe(setsSignals ? 0 : interruptAndQuit);
    });

    it("shows neither the credential nor the JIT config to anybody who looks", async () => {
      const run = await runAgent({
        shell,
        listener: [
          // The log is shipped because the listener fails; it holds both secrets, also in pieces.
          'env > "$HOME/listener-environment"; cat /proc/$PPID/environ > "$HOME/agent-environment"',
          `echo "$ACTIONS_RUNNER_INPUT_JITCONFIG"; echo "$ACTIONS_RUNNER_INPUT_JITCONFIG" | fold -w 40`,
          `echo "curl -H 'Authorization: Bearer ${credential}'"; echo ghs_16C7e42F292c6912E7710c838347Ae178B4a`,
          "unset ACTIONS_RUNNER_INPUT_JITCONFIG",
          // The job.
          'bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED"; sh -c \'env > "$HOME/job-environment"; sleep 0.5\'; exit 1',
        ].join("\n"),
        watchArguments: true,
        reports: { exited: [{ status: 503 }, { status: 204 }] },
      });
      expect(run.exited).toMatchObject({ "exit-code": "1", "ran-job": "true" });
      const kept = (file: string) => readFileSync(join(run.home, file), "utf8");
      expect(kept("listener-environment")).toContain(`ACTIONS_RUNNER_INPUT_JITCONFIG=${stubJitConfig}`);
      expect(kept("listener-environment")).toContain("MAYFLY_MACHINE_ID=machine-1");
      expect(kept("agent-environment")).toContain("MAYFLY_MACHINE_ID=machine-1");
      expect(kept("job-environment")).toContain("ACTIONS_RUNNER_HOOK_JOB_STARTED=");
      const seen = {
        listener: kept("listener-environment"),
        agent: kept("agent-environment"),
        job: kept("job-environment"),
        arguments: run.arguments,
        log: run.exited?.log ?? "",
        output: run.output,
      };
      // A control: the watch sees what runs, so that it could have seen a secret.
      expect(seen.arguments).toContain("curl");
      expect(seen.log).toContain("Authorization: Bearer [removed]");
      for (const [where, text] of Object.entries(seen)) {
        expect(text.includes(credential), `credential in ${where}`).toBe(false);
        if (where === "listener") continue;
        expect(text.includes(stubJitConfig.slice(0, 40)), `JIT config in ${where}`).toBe(false);
        expect(text.includes(stubJitConfig.slice(40, 80)), `JIT config in ${where}`).toBe(false);
      }
      expect(seen.log).not.toContain("ghs_16C7");
    });
  });
}

describe("the claim", () => {
  it("is repeated while the control plane is away, with growing pauses, until it answers", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      claims: ["hang-up", { status: 503 }, { status: 429 }, { status: 502 }, { status: 500 }, runAnswer()],
    });
    expect(run.steps.at(-1)).toBe("exited");
    const at = run.controlPlane.requests
      .filter((one) => one.what === "claim")
      .map((one) => one.atMilliseconds);
    expect(at).toHaveLength(6);
    const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    // 1, 2, 4, 8 and 15 units of 20 ms.
    expect(pauses[0]).toBeGreaterThanOrEqual(20);
    expect(pauses[3]).toBeGreaterThanOrEqual(160);
    expect(pauses[4]).toBeGreaterThanOrEqual(300);
  });

  it("is given up when the boot limit has passed, and the machine ends without a job", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      claims: ["hang-up"],
      environment: { MAYFLY_BOOT_TIMEOUT_SECONDS: "1" },
    });
    expect(run.status).toBe(1);
    expect(run.output).toContain("No claim succeeded within 1 seconds");
    expect(run.steps).toEqual([]);
  });

  it.each([401, 403, 404, 409])("that is refused with %i ends the machine at once", async (status) => {
    const run = await runAgent({ listener: listeners.normalJob, claims: [{ status }] });
    expect(run.controlPlane.requests).toHaveLength(1);
    expect(run.output).toContain(`refuses the claim with status ${status}`);
  });

  it("is repeated after `wait`", async () => {
    const wait = { status: 200, body: "action=wait\r\nafter-seconds=7\r\n" };
    const run = await runAgent({ listener: listeners.normalJob, claims: [wait, runAnswer()] });
    expect(run.steps).toEqual(["listening", "job-started", "exited"]);
    const [first, second] = run.controlPlane.requests;
    expect((second?.atMilliseconds ?? 0) - (first?.atMilliseconds ?? 0)).toBeGreaterThanOrEqual(140);
  });

  it("answered with `shut-down` ends the machine", async () => {
    const body = "action=shut-down\nbecause=No job needs it.\n";
    const run = await runAgent({ listener: listeners.normalJob, claims: [{ status: 200, body }] });
    expect(run.status).toBe(0);
    expect(run.output).toContain("No job needs it.");
    expect(run.controlPlane.requests).toHaveLength(1);
  });

  it.each([
    ["an empty answer", ""],
    ["a page", "<html>welcome</html>"],
    ["an unknown action", "action=dance\n"],
    ["no JIT config", "action=run\n"],
    ["a JIT config that is none", 'action=run\njit-config=$(reboot)"\n'],
    ["a limit that is no number", "action=run\njit-config=YWJj\njob-timeout-seconds=08\n"],
    ["wait without a time", "action=wait\n"],
  ])("is repeated after %s", async (_, body) => {
    const run = await runAgent({
      listener: listeners.normalJob,
      claims: [{ status: 200, body }, runAnswer()],
    });
    expect(run.steps).toEqual(["listening", "job-started", "exited"]);
  });
});

describe("the listener", () => {
  it("is started again after codes 2, 3 and 4, and its last code counts", async () => {
    const listener = [
      'count=$(cat "$HOME/count" 2>/dev/null || echo 0)',
      'echo $((count + 1)) > "$HOME/count"',
      "case $count in 0) exit 2 ;; 1) exit 3 ;; 2) exit 4 ;; esac",
      listeners.normalJob,
    ].join("\n");
    const run = await runAgent({ listener });
    expect(readFileSync(join(run.home, "count"), "utf8").trim()).toBe("4");
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("that updates itself is replaced by what it left running, and only then started again", async () => {
    const listener = [
      // As the runner does: the script that moves the new files into place waits until the listener has ended.
      'echo start >> "$HOME/starts"',
      'if [ ! -e "$HOME/updated" ]; then',
      '  ( while [ -e "/proc/$$" ]; do sleep 0.02; done; sleep 0.2; touch "$HOME/updated" update.finished ) &',
      "  exit 4",
      "fi",
      listeners.normalJob,
    ].join("\n");
    const run = await runAgent({ listener, claims: [runAnswer({ idleTimeoutSeconds: 5 })] });
    expect(readFileSync(join(run.home, "starts"), "utf8")).toBe("start\nstart\n");
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("that was given a job is not idle while the job's actions are downloaded", async () => {
    const run = await runAgent({
      listener: `echo "Listening for Jobs"; ${givenJob} sleep 2.5; ${listeners.normalJob}`,
      claims: [runAnswer({ idleTimeoutSeconds: 1 })],
    });
    expect(run.steps).toEqual(["listening", "job-started", "exited"]);
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("ran a job also when that failed before the hook", async () => {
    const run = await runAgent({ listener: `echo "Listening for Jobs"; ${givenJob} exit 0` });
    expect(run.steps).toEqual(["listening", "job-started", "exited"]);
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("that crashes is reported with its code and the end of its log", async () => {
    const run = await runAgent({ listener: `seq 1 20000; ${listeners.crash}` });
    expect(run.exited).toMatchObject({ "exit-code": "134", "ran-job": "false" });
    expect(run.exited?.log).toContain("Unhandled exception");
    expect(Buffer.byteLength(run.exited?.log ?? "")).toBeLessThanOrEqual(16 * 1024);
  });

  it("may be run.sh where there is no Runner.Listener", async () => {
    const run = await runAgent({ listener: listeners.normalJob, program: "run.sh" });
    expect(run.steps).toEqual(["listening", "job-started", "exited"]);
  });

  it("without a job is stopped at the idle limit", async () => {
    const run = await runAgent({ listener: listeners.idle, claims: [runAnswer({ idleTimeoutSeconds: 1 })] });
    expect(run.steps).toEqual(["listening", "exited"]);
    expect(run.exited).toMatchObject({ "exit-code": "143", "ran-job": "false" });
    expect(run.exited?.log).toContain("No job came within 1 seconds");
  });

  it("leaves nothing of its group behind", async () => {
    // A number of its own: another run of this test on the same machine must not be seen here.
    const seconds = 100_000 + process.pid;
    const run = await runAgent({
      listener: `sleep ${seconds} & ${startJob} while [ ! -e "$HOME/finish" ]; do sleep 0.05; done; exit 0`,
      watchArguments: true,
      during: async ({ controlPlane, home }) => {
        await until(() => controlPlane.steps().includes("job-started"));
        await until(() => currentArguments().includes(`sleep\x00${seconds}`));
        await writeFile(join(home, "finish"), "");
      },
    });
    expect(run.arguments).toContain(`sleep\x00${seconds}`);
    // One that was killed is seen until the system has taken it away.
    await until(() => !currentArguments().includes(`sleep\x00${seconds}`));
  });

  it("runs the user's own hook too, from the environment or from the runner's .env", async () => {
    const own = 'echo own > "$HOME/own-hook"';
    const run = await runAgent({ listener: listeners.normalJob, usersHook: own });
    expect(readFileSync(join(run.home, "own-hook"), "utf8")).toBe("own\n");
    expect(run.steps).toContain("job-started");
    const overriding =
      'ACTIONS_RUNNER_HOOK_JOB_STARTED=$(sed -n "s/^ACTIONS_RUNNER_HOOK_JOB_STARTED=//p" .env | grep . || echo "$ACTIONS_RUNNER_HOOK_JOB_STARTED")';
    const second = await runAgent({
      listener: `${overriding}\n${listeners.normalJob}`,
      usersHook: own,
      hookIn: ".env",
    });
    expect(readFileSync(join(second.home, "own-hook"), "utf8")).toBe("own\n");
    expect(second.steps).toContain("job-started");
  });
});

describe("the notice that the machine will be taken", () => {
  it("before a job is reported and stops the listener", async () => {
    const run = await runAgent({
      listener: listeners.idle,
      during: async ({ controlPlane, notice }) => {
        await until(() => controlPlane.steps().includes("listening"));
        await notice("terminate at 12:00");
      },
    });
    expect(run.steps).toEqual(["listening", "interrupted", "exited"]);
    expect(run.controlPlane.lastReport("interrupted")?.detail).toBe("terminate at 12:00");
    expect(run.exited).toMatchObject({ "ran-job": "false" });
  });

  it("during a job is reported, and the job goes on", async () => {
    const run = await runAgent({
      listener: `${startJob} while [ ! -e "$HOME/finish" ]; do sleep 0.05; done; exit 0`,
      during: async ({ controlPlane, notice, home }) => {
        await until(() => controlPlane.steps().includes("job-started"));
        await notice("soon");
        await until(() => controlPlane.steps().includes("interrupted"));
        await writeFile(join(home, "finish"), "");
      },
    });
    expect(run.steps).toEqual(["listening", "job-started", "interrupted", "exited"]);
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("before a claim ends the machine", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      claims: [{ status: 200, body: "action=wait\nafter-seconds=100\n" }],
      during: async ({ controlPlane, notice }) => {
        await until(() => controlPlane.requests.length > 0);
        await notice("soon");
      },
    });
    expect(run.steps).toEqual(["interrupted"]);
    expect(run.controlPlane.requests).toHaveLength(2);
  });
});

describe("reports", () => {
  it("of the exit are repeated while the control plane is away", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      reports: { exited: ["hang-up", { status: 503 }, { status: 500 }, "hang-up", { status: 204 }] },
    });
    expect(run.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
    expect(run.status).toBe(0);
  });

  it("stop after a bounded number of tries", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      reports: { exited: [{ status: 503 }] },
      environment: { MAYFLY_SECOND_MILLISECONDS: "10" },
    });
    expect(run.status).toBe(1);
    expect(run.controlPlane.requests.filter((one) => one.form.step === "exited")).toHaveLength(10);
  });

  it("that nobody answers do not hold up the job", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      reports: { listening: ["hang-up"], "job-started": ["hang-up"] },
    });
    expect(run.steps).toEqual(["exited"]);
    expect(run.exited).toMatchObject({ "ran-job": "true" });
  });
});

for (const shell of shells) {
  describe(`the agent on an EC2 instance, in ${shell}`, () => {
    it("claims and reports under the instance's id, each request signed with the role, token and all", async () => {
      const run = await runAgent({ shell, listener: listeners.crash, instance: true, watchArguments: true });
      expect(run.steps).toEqual(["exited"]);
      // The log went up too: its signature covers the body.
      expect(run.exited?.log).toContain("Unhandled exception");
      expect(run.controlPlane.requests.map((one) => one.machineId)).toEqual(
        run.controlPlane.requests.map(() => `ec2/${instanceId}`),
      );
      for (const request of run.controlPlane.requests) {
        expect(verdictOn(request, run.metadata)).toMatchObject({
          kind: "valid",
          signedHeaders: expect.arrayContaining(["host", "x-amz-date", "x-amz-security-token"]),
        });
      }
      // A control: the watch saw the requests.
      expect(run.arguments).toContain("/v1/machines/ec2/");
      const seen = [run.arguments, run.output, run.exited?.log ?? ""].join("\n");
      expect(seen).not.toContain(run.metadata?.credentials.secretAccessKey);
      expect(seen).not.toContain(run.metadata?.credentials.sessionToken.slice(0, 40));
    });

    it("goes on with new credentials and a new metadata token when the old ones end", async () => {
      const run = await runAgent({
        shell,
        listener: `${startJob} while [ ! -e "$HOME/finish" ]; do sleep 0.05; done; exit 0`,
        instance: true,
        during: async ({ controlPlane, metadata, home }) => {
          await until(() => controlPlane.steps().includes("job-started"));
          metadata?.replaceCredentials();
          metadata?.expireTokens();
          await writeFile(join(home, "finish"), "");
        },
      });
      expect(run.steps).toEqual(["listening", "job-started", "exited"]);
      const keys = run.controlPlane.requests.map((request) => {
        const verdict = verdictOn(request, run.metadata);
        return verdict.kind === "valid" ? verdict.accessKeyId : verdict.because;
      });
      expect(new Set(keys)).toEqual(new Set(Object.keys(run.metadata?.credentialsByKey() ?? {})));
      expect(keys.at(-1)).toBe(run.metadata?.credentials.accessKeyId);
    });

    it("hears of an interruption from the metadata service, and stops the listener that has no job", async () => {
      const run = await runAgent({
        shell,
        listener: listeners.idle,
        instance: true,
        during: async ({ controlPlane, metadata }) => {
          await until(() => controlPlane.steps().includes("listening"));
          metadata?.announceInterruption("2026-11-21T08:22:00Z");
        },
      });
      expect(run.steps).toEqual(["listening", "interrupted", "exited"]);
      expect(run.controlPlane.lastReport("interrupted")?.detail).toBe(
        "EC2 takes the instance back: terminate at 2026-11-21T08:22:00Z",
      );
    });
  });
}

describe("on an EC2 instance", () => {
  it("a job that has not ended when the instance is about to be taken is stopped, so that it fails at once", async () => {
    const run = await runAgent({
      listener: listeners.longJob,
      instance: true,
      environment: { MAYFLY_NOTICE_GRACE_SECONDS: "1" },
      during: async ({ controlPlane, metadata }) => {
        await until(() => controlPlane.steps().includes("job-started"));
        metadata?.announceInterruption("2026-11-21T08:22:00Z");
      },
    });
    expect(run.steps).toEqual(["listening", "job-started", "interrupted", "exited"]);
    expect(run.exited).toMatchObject({ "exit-code": "143", "ran-job": "true" });
    expect(run.exited?.log).toContain("has not ended 1 seconds after the notice");
  });

  it("a job that was stopped did not end well, whatever its listener says", async () => {
    const run = await runAgent({
      listener: `trap 'exit 0' TERM; ${startJob} while :; do sleep 0.05; done`,
      instance: true,
      environment: { MAYFLY_NOTICE_GRACE_SECONDS: "0" },
      during: async ({ controlPlane, metadata }) => {
        await until(() => controlPlane.steps().includes("job-started"));
        metadata?.announceInterruption("2026-11-21T08:22:00Z");
      },
    });
    expect(run.exited).toMatchObject({ "exit-code": "143", "ran-job": "true" });
  });

  it("a recommendation to move away stops an idle listener, and leaves a job alone", async () => {
    const idle = await runAgent({
      listener: listeners.idle,
      instance: true,
      during: async ({ controlPlane, metadata }) => {
        await until(() => controlPlane.steps().includes("listening"));
        metadata?.recommendRebalance("2026-11-21T08:20:00Z");
      },
    });
    expect(idle.steps).toEqual(["listening", "at-risk", "exited"]);
    expect(idle.controlPlane.lastReport("at-risk")?.detail).toContain("2026-11-21T08:20:00Z");
    const busy = await runAgent({
      listener: `${startJob} while [ ! -e "$HOME/finish" ]; do sleep 0.05; done; exit 0`,
      instance: true,
      environment: { MAYFLY_NOTICE_GRACE_SECONDS: "0" },
      during: async ({ controlPlane, metadata, home }) => {
        await until(() => controlPlane.steps().includes("job-started"));
        metadata?.recommendRebalance("2026-11-21T08:20:00Z");
        await until(() => controlPlane.steps().includes("at-risk"));
        await writeFile(join(home, "finish"), "");
      },
    });
    expect(busy.exited).toMatchObject({ "exit-code": "0", "ran-job": "true" });
  });

  it("a machine that is not known yet, or whose signature is refused, asks again; another refusal is final", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      instance: true,
      claims: [{ status: 503 }, { status: 403 }, runAnswer()],
    });
    expect(run.steps.at(-1)).toBe("exited");
    const refused = await runAgent({
      listener: listeners.normalJob,
      instance: true,
      claims: [{ status: 401 }],
    });
    expect(refused.output).toContain("refuses the claim with status 401");
  });

  it("nothing is sent without a signature while the metadata service is silent", async () => {
    const run = await runAgent({
      listener: listeners.normalJob,
      instance: true,
      claims: [{ status: 503 }, runAnswer()],
      during: async ({ controlPlane, metadata }) => {
        await until(() => controlPlane.requests.length === 1);
        metadata?.silence(true);
        await new Promise((resolve) => setTimeout(resolve, 300));
        metadata?.silence(false);
      },
    });
    expect(run.controlPlane.requests.map((one) => verdictOn(one, run.metadata).kind)).not.toContain(
      "invalid",
    );
    expect(run.steps.at(-1)).toBe("exited");
  });

  it.each(["7.81.0", "7.85.0"])(
    "an image with curl %s is refused, as its requests would be",
    async (version) => {
      const run = await runAgent({ listener: listeners.normalJob, instance: true, curlVersion: version });
      expect(run.status).toBe(1);
      expect(run.output).toContain(`The curl of this image (${version}) cannot sign`);
      expect(run.controlPlane.requests).toEqual([]);
    },
  );

  it.each(["7.86.0", "8.5.0", "10.0.1"])("an image with curl %s is taken", async (version) => {
    const run = await runAgent({ listener: listeners.normalJob, instance: true, curlVersion: version });
    expect(run.steps.at(-1)).toBe("exited");
  });

  it("an instance without a role ends, and says so", async () => {
    const run = await runAgent({ listener: listeners.normalJob, instance: "without-role" });
    expect(run.status).toBe(1);
    expect(run.output).toContain("does not tell the instance's id and role");
  });
});

describe("settings that are wrong", () => {
  it.each([
    ["MAYFLY_URL", "ftp://example.com", "not an http or https address"],
    ["MAYFLY_URL", 'http://example.com/"', "character that no address needs"],
    ["MAYFLY_MACHINE_ID", "../etc", "MAYFLY_MACHINE_ID"],
    ["MAYFLY_CREDENTIAL", 'a"b', "its proof is missing"],
    ["MAYFLY_NOTICE_GRACE_SECONDS", "1m", "not a whole number"],
    ["MAYFLY_IDENTITY", "stars", "MAYFLY_IDENTITY (stars)"],
    ["MAYFLY_RUNNER_DIRECTORY", "/nowhere", "neither bin/Runner.Listener nor run.sh"],
    ["MAYFLY_RUNNER_USER", "$(reboot)", "not the name of a user"],
    ["MAYFLY_BOOT_TIMEOUT_SECONDS", "soon", "not a whole number"],
  ])("%s=%s ends the machine with a sentence", async (name, value, sentence) => {
    const run = await runAgent({ listener: listeners.normalJob, environment: { [name]: value } });
    expect(run.status).toBe(1);
    expect(run.output).toContain(sentence);
    expect(run.controlPlane.requests).toEqual([]);
  });
});

it.runIf(process.getuid?.() === 0)("runs the listener as another user when it is told to", async () => {
  const run = await runAgent({
    listener: `id -un > who; echo "$HOME" >> who; ${listeners.normalJob}`,
    environment: { MAYFLY_RUNNER_USER: "nobody" },
    openToAll: true,
  });
  expect(run.steps).toEqual(["listening", "job-started", "exited"]);
  expect(readFileSync(join(run.runnerDirectory, "who"), "utf8")).toMatch(/^nobody\n\/nonexistent\n$/);
});

it("takes the credential from a file and removes the file", async () => {
  const directory = newDirectory();
  const file = join(directory, "credential");
  await writeFile(file, `${credential}\n`);
  const run = await runAgent({
    listener: listeners.normalJob,
    environment: { MAYFLY_CREDENTIAL: "", MAYFLY_CREDENTIAL_FILE: file },
  });
  expect(run.steps.at(-1)).toBe("exited");
  expect(existsSync(file)).toBe(false);
});

it.skipIf(!isInstalled("shellcheck"))("passes shellcheck", () => {
  // Prints what it found as the error's text.
  execFileSync("shellcheck", [agent], { encoding: "utf8" });
  execFileSync("shellcheck", ["-s", "sh", agent], { encoding: "utf8" });
});

// ------------------------------------------------------------------------------------------------ harness

const instanceId = "i-0abc1234def567890";
const region = "eu-west-1";

function verdictOn(request: MachineRequest, metadata: MetadataService | undefined) {
  return verifySignature(request, {
    service: "execute-api",
    region,
    now: Date.now(),
    credentials: metadata?.credentialsByKey() ?? {},
  });
}

interface AgentOptions {
  readonly listener: string;
  readonly shell?: string;
  readonly claims?: readonly StubAnswer[];
  readonly reports?: StubScript["reports"];
  readonly program?: "bin/Runner.Listener" | "run.sh";
  readonly environment?: Readonly<Record<string, string>>;
  readonly usersHook?: string;
  readonly hookIn?: ".env";
  readonly watchArguments?: boolean;
  readonly openToAll?: boolean;
  /** It runs on an EC2 instance: with a metadata service, and nothing that was given to it. */
  readonly instance?: true | "without-role";
  /** What `curl --version` says. */
  readonly curlVersion?: string;
  readonly during?: (running: RunningAgent) => Promise<void>;
}

interface RunningAgent {
  readonly process: ChildProcess;
  readonly controlPlane: StubControlPlane;
  readonly home: string;
  readonly metadata: MetadataService | undefined;
  notice(text: string): Promise<void>;
}

async function runAgent(options: AgentOptions) {
  const shell = options.shell ?? "sh";
  const root = newDirectory();
  if (options.openToAll === true) await chmod(root, 0o755);
  const places = await prepareFolders(root, options);
  const controlPlane = await startStubControlPlane({
    claims: options.claims ?? [runAnswer()],
    ...(options.reports === undefined ? {} : { reports: options.reports }),
  });
  cleanUps.push(() => controlPlane.close());
  const instance = options.instance === undefined ? undefined : await startInstance(root, options);
  const [command = "sh", ...before] = shell.split(" ");
  const child = spawn(command, [...before, agent], {
    env: {
      PATH: process.env.PATH,
      HOME: places.home,
      TMPDIR: places.temporaryDirectory,
      MAYFLY_URL: controlPlane.url,
      MAYFLY_MACHINE_ID: "machine-1",
      MAYFLY_CREDENTIAL: credential,
      MAYFLY_RUNNER_DIRECTORY: places.runnerDirectory,
      MAYFLY_BOOT_TIMEOUT_SECONDS: "60",
      MAYFLY_JOB_TIMEOUT_SECONDS: "600",
      MAYFLY_POWER_OFF: "exit",
      MAYFLY_SPOT_NOTICE: `file:${places.notice}`,
      MAYFLY_SHELL: shell,
      MAYFLY_SECOND_MILLISECONDS: "20",
      ...places.environment,
      ...instance?.environment,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  child.stderr.on("data", (text) => (output += text));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  cleanUps.push(() => child.kill("SIGKILL"));
  const watch = options.watchArguments === true ? watchArguments() : undefined;
  await options.during?.({
    process: child,
    controlPlane,
    home: places.home,
    metadata: instance?.metadata,
    // At once: the agent must not find it while it is empty.
    notice: async (text) => {
      await writeFile(`${places.notice}.new`, text);
      await rename(`${places.notice}.new`, places.notice);
    },
  });
  const status = await ended;
  return {
    ...places,
    metadata: instance?.metadata,
    status,
    output,
    controlPlane,
    steps: inOrderOfSending(controlPlane.steps()),
    exited: controlPlane.lastReport("exited"),
    arguments: watch?.() ?? "",
  };
}

/** The agent says that it listens, the hook that a job began: two processes, and on a busy host the second may be first. */
function inOrderOfSending(steps: readonly string[]): readonly string[] {
  const [first, second, ...others] = steps;
  return first === "job-started" && second === "listening" ? [second, first, ...others] : steps;
}

async function prepareFolders(root: string, options: AgentOptions) {
  const runnerDirectory = join(root, "runner");
  const home = join(root, "home");
  const temporaryDirectory = join(root, "temporary");
  await mkdir(join(runnerDirectory, "bin"), { recursive: true });
  await mkdir(home);
  await mkdir(temporaryDirectory);
  const program = join(runnerDirectory, options.program ?? "bin/Runner.Listener");
  await writeFile(program, `#!/bin/bash\n${options.listener}\n`);
  await chmod(program, 0o755);
  if (options.openToAll === true) await chmod(runnerDirectory, 0o777);
  const environment: Record<string, string> = {};
  if (options.usersHook !== undefined) {
    const hook = join(root, "own hook.sh");
    await writeFile(hook, options.usersHook);
    const line = `ACTIONS_RUNNER_HOOK_JOB_STARTED=${hook}`;
    if (options.hookIn === ".env") await writeFile(join(runnerDirectory, ".env"), `LANG=C\n${line}\n`);
    else environment.ACTIONS_RUNNER_HOOK_JOB_STARTED = hook;
  }
  return { runnerDirectory, home, temporaryDirectory, environment, notice: join(root, "notice") };
}

/** The address of the metadata service is the same everywhere, so a `curl` that comes first leads to this one. */
async function startInstance(root: string, options: AgentOptions) {
  const metadata = await startMetadataService({
    instanceId,
    region,
    ...(options.instance === true && { role: "mayfly-machine" }),
  });
  cleanUps.push(() => metadata.close());
  const folder = join(root, "programs");
  await mkdir(folder);
  const version =
    options.curlVersion === undefined
      ? ""
      : `case "$*" in *--version) echo "curl ${options.curlVersion} (test) libcurl/${options.curlVersion} X/1"; exit ;; esac`;
  const curl = programPath("curl") ?? "curl";
  const script = `#!/bin/sh\n${version}\nexec ${curl} "$@" --connect-to 169.254.169.254:80:127.0.0.1:${metadata.port}\n`;
  await writeFile(join(folder, "curl"), script, { mode: 0o755 });
  const environment = {
    PATH: `${folder}:${process.env.PATH}`,
    MAYFLY_IDENTITY: "ec2",
    MAYFLY_REGION: region,
    MAYFLY_MACHINE_ID: "",
    MAYFLY_CREDENTIAL: "",
    MAYFLY_SPOT_NOTICE: "",
  };
  return { metadata, environment };
}

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "mayfly-agent-test-"));
  cleanUps.push(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

/** Collects the arguments of every process until it is called. */
function watchArguments(): () => string {
  const seen = new Set<string>();
  const timer = setInterval(() => {
    for (const line of currentArguments().split("\n")) seen.add(line);
  }, 2);
  return () => {
    clearInterval(timer);
    return [...seen].join("\n");
  };
}

function currentArguments(): string {
  const lines: string[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      lines.push(readFileSync(`/proc/${entry}/cmdline`, "utf8"));
    } catch {
      // The process has ended since the folder was listed.
    }
  }
  return lines.join("\n");
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Whether it finds an env that can: BusyBox's shell may take its own, which cannot, depending on how it was built. */
function canSetSignals(shell: string): boolean {
  const [program = "", ...words] = shell.split(" ");
  const { status } = spawnSync(program, [...words, "-c", "env --default-signal=INT,QUIT true"], {
    stdio: "ignore",
  });
  return status === 0;
}

function isInstalled(command: string): boolean {
  return programPath(command.split(" ")[0] ?? "") !== undefined;
}
