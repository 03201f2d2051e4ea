import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { emulatedGithub } from "../../../test/support/emulated-github.ts";
import {
  type FakeInstanceOptions,
  manifestOf,
  processesOf,
  startFakeInstance,
} from "../../../test/support/fake-instance.ts";
import { startMetadataService } from "../../../test/support/metadata-service.ts";
import { programPath } from "../../../test/support/search-path.ts";
import { verifySignature } from "../../../test/support/signature-verifier.ts";
import {
  runAnswer,
  type StubAnswer,
  startStubControlPlane,
} from "../../../test/support/stub-control-plane.ts";
import { writeRunnerDirectory } from "../../emulator/runner-directory.ts";
import { type MachineStart, packedUserData, userDataLimitBytes, userDataScript } from "./user-data.ts";

const region = "eu-west-1";
const somewhere: MachineStart = {
  url: "https://abcdefghij.execute-api.eu-west-1.amazonaws.com/",
  region,
  bootTimeoutSeconds: 300,
  jobsMayReadMetadata: false,
};
/** Those of Ubuntu and of Amazon Linux. */
const shells = ["dash", "bash"].filter(isInstalled);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

describe("user data", () => {
  it.each(shells)("fits EC2's limit when it is packed, and unpacks to the script, in %s", (shell) => {
    const packed = packedUserData(somewhere);
    expect(packed.length).toBeLessThanOrEqual(userDataLimitBytes);
    const shown = packed.replace(/^eval .*$/m, 'printf "%s" "$rest"');
    const rest = execFileSync(shell, { input: shown, encoding: "utf8" });
    const constants = packed.slice(0, packed.indexOf("rest="));
    expect(constants + rest).toBe(userDataScript(somewhere));
  });

  it("ends the machine when it cannot be unpacked", () => {
    const folder = newFolder();
    const called = join(folder, "called");
    writeFileSync(join(folder, "shutdown"), `#!/bin/sh\necho "$@" >${called}\n`, { mode: 0o755 });
    const damaged = packedUserData(somewhere).replace("printf %s 'H4sI", "printf %s 'AAAA");
    const environment = { PATH: `${folder}:/usr/bin:/bin` };
    execFileSync("sh", { input: damaged, env: environment, stdio: ["pipe", "ignore", "ignore"] });
    expect(readFileSync(called, "utf8")).toBe("-h now\n");
  });

  it("refuses a value that would end its quotes", () => {
    const url = "https://example.com/'; reboot; '";
    expect(() => userDataScript({ ...somewhere, url })).toThrow(/MAYFLY_URL/);
  });

  it.each(shells)("is a script for %s", (shell) => {
    const file = join(newFolder(), "user-data");
    execFileSync("tee", [file], { input: userDataScript(somewhere), stdio: ["pipe", "ignore", "inherit"] });
    execFileSync(shell, ["-n", file]);
  });

  it.skipIf(!isInstalled("shellcheck"))("is made of scripts that pass shellcheck", () => {
    for (const file of ["install.sh", "start.sh"]) {
      execFileSync("shellcheck", [fileURLToPath(new URL(`../../agent/${file}`, import.meta.url))]);
    }
  });
});

for (const shell of shells) {
  it(`a machine with a prepared image claims, runs its job and powers off, in ${shell}`, async () => {
    const { instance, off, requests, metadata, root } = await start({ shell, listener: listener("") });
    expect(await off).toBe(0);
    expect(requests.map((one) => [one.machineId, one.form.step ?? one.what])).toEqual([
      [`ec2/${instanceId}`, "claim"],
      [`ec2/${instanceId}`, "listening"],
      [`ec2/${instanceId}`, "job-started"],
      [`ec2/${instanceId}`, "exited"],
    ]);
    const options = {
      service: "execute-api",
      region,
      now: Date.now(),
      credentials: metadata.credentialsByKey(),
    };
    for (const request of requests) expect(verifySignature(request, options).kind).toBe("valid");
    // The limit is there before anything else, and ends when the agent has its own.
    expect(instance.calls()).toEqual([
      expect.stringMatching(/^shutdown -h \+15 /),
      "ip rule add pref 1 to 169.254.169.254 uidrange 1-4294967294 prohibit",
      "ip -6 rule add pref 1 to fd00:ec2::254 uidrange 1-4294967294 prohibit",
      "shutdown -c",
      expect.stringContaining("chown mayfly-runner"),
      "sync ",
      "shutdown -h now",
    ]);
    expect(processesOf(instanceId)).toEqual([]);
    expect(existsSync(join(root, "opt/mayfly/agent.sh"))).toBe(true);
  });
}

it("a machine runs the job of a workflow, with a runner that the emulated GitHub knows", async () => {
  const github = await emulatedGithub();
  cleanUps.push(() => github.close());
  const token = await github.installationToken();
  const path = "/orgs/octo-org/actions/runners/generate-jitconfig";
  const request = { name: "machine-1", runner_group_id: 1, labels: ["linux"] };
  const { body: registered } = await github.call("POST", path, token, request);
  const workflow = "jobs:\n  build:\n    runs-on: linux\n    steps:\n      - run: exit 0\n";
  const run = { repository: "octo-org/demo", workflow };
  const { body: made } = await github.call("POST", "/_emulator/runs", "", run);
  const runner = writeRunnerDirectory(join(newFolder(), "runner"));
  const { off, requests } = await start(
    { listener: await readFile(join(runner, "bin/Runner.Listener"), "utf8") },
    {},
    identity,
    { status: 200, body: `action=run\njit-config=${registered.encoded_jit_config}\n` },
  );
  expect(await off).toBe(0);
  expect(github.emulator.model.findJob(made.jobs[0].id).conclusion).toBe("success");
  expect(requests.at(-1)?.form).toMatchObject({ step: "exited", "exit-code": "0", "ran-job": "true" });
});

describe("the metadata service", () => {
  const asks = `curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token > "$HOME/answer"; echo $? >> "$HOME/answer"`;

  it("is out of reach for jobs", async () => {
    const { off, root } = await start({ listener: listener(asks) });
    await off;
    expect(await readFile(join(root, "home/answer"), "utf8")).toBe("7\n");
  });

  it("is in reach for jobs where the preset allows it", async () => {
    const { instance, off, root } = await start({ listener: listener(asks) }, { jobsMayReadMetadata: true });
    await off;
    expect(await readFile(join(root, "home/answer"), "utf8")).toBe("2000\n");
    expect(instance.calls().join("\n")).not.toContain("ip rule");
  });

  it.each([
    ["the rule cannot be set", ["ip"]],
    ["the rule has no effect", []],
  ])("that cannot be shut, because %s, ends the machine before it claims", async (_, broken) => {
    const options = { listener: listener(""), broken };
    const { instance, off, requests } = await start(
      options,
      {},
      broken.length === 0 ? ineffective : identity,
    );
    expect(await off).toBe(1);
    expect(requests).toEqual([]);
    expect(instance.calls().at(-1)).toBe("shutdown -h now");
  });
});

describe("a stock image", () => {
  it.each([
    ["amzn", "2023", "x86_64", "x86_64", "x64", "dnf -y -q install git libicu"],
    [
      "ubuntu",
      "24.04",
      "aarch64",
      "arm64",
      "arm64",
      "install --no-install-recommends ca-certificates curl git",
    ],
  ] as const)(
    "%s %s on %s gets packages, an account and the runner, whose checksum is right",
    async (...row) => {
      const [id, version, hardware, architecture, file, packages] = row;
      const release = await serveRunner(listener(""));
      const system = [id, version] as const;
      const { instance, off, requests, root } = await start(
        { system, hardware },
        { runnerBaseUrl: release.url },
        (script) => withChecksum(script, release.sha256),
      );
      expect(await off).toBe(0);
      expect(release.asked).toEqual([`/actions-runner-linux-${file}-${pinned.version}.tar.gz`]);
      expect(requests.at(-1)?.form).toMatchObject({ step: "exited", "exit-code": "0", "ran-job": "true" });
      expect(instance.calls().join("\n")).toContain(packages);
      expect(instance.calls()).toContain("useradd --create-home --shell /bin/bash mayfly-runner");
      expect(await manifestOf(root)).toEqual({
        schema: 1,
        builtAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        system: `${id}-${version}`,
        architecture,
        curl: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        runnerUser: "mayfly-runner",
        runnerDirectory: join(root, "opt/mayfly/runner"),
        runnerVersion: pinned.version,
        runnerSha256: release.sha256,
      });
    },
  );

  it("whose runner has another checksum ends without a claim, and leaves no runner behind", async () => {
    const release = await serveRunner(listener(""));
    const { instance, off, requests, root } = await start({}, { runnerBaseUrl: release.url });
    expect(await off).toBe(1);
    expect(release.asked).toHaveLength(3);
    expect(instance.console()).toContain("does not have the checksum");
    expect(requests).toEqual([]);
    expect(existsSync(join(root, "opt/mayfly/runner"))).toBe(false);
    expect(await manifestOf(root)).toBeUndefined();
    expect(instance.calls().at(-1)).toBe("shutdown -h now");
  });

  it("whose packages cannot be installed tries three times, says so, and powers off without a claim", async () => {
    const { instance, off, requests } = await start({ system: ["amzn", "2023"], broken: ["dnf"] });
    expect(await off).toBe(1);
    expect(instance.calls().filter((call) => call.startsWith("dnf "))).toHaveLength(3);
    expect(instance.console()).toContain("This failed three times: dnf");
    expect(requests).toEqual([]);
    expect(instance.calls().at(-1)).toBe("shutdown -h now");
  });

  it("of another system ends, and says which are known", async () => {
    const { instance, off } = await start({ system: ["debian", "11"] });
    expect(await off).toBe(1);
    expect(instance.console()).toContain("This system is debian-11; machines run");
    expect(instance.calls().at(-1)).toBe("shutdown -h now");
  });

  it("that is told to end while it installs powers off", async () => {
    const release = await serveRunner(listener(""));
    const { instance, off } = await start({}, { runnerBaseUrl: release.url });
    while (release.asked.length === 0) await pause();
    instance.signal("SIGTERM");
    expect(await off).toBe(143);
    expect(instance.calls().at(-1)).toBe("shutdown -h now");
    expect(processesOf(instanceId)).toEqual([]);
  });
});

// ------------------------------------------------------------------------------------------------ harness

const instanceId = `i-0fake${process.pid}`;
const pinned = JSON.parse(
  readFileSync(new URL("../../agent/runner-release.json", import.meta.url), "utf8"),
) as { readonly version: string; readonly sha256: Readonly<Record<string, string>> };

/** A listener that runs one job, whose only step is `job`. */
function listener(job: string): string {
  return `#!/bin/bash\necho "Listening for Jobs"\nbash -e "$ACTIONS_RUNNER_HOOK_JOB_STARTED"\n${job}\nexit 0\n`;
}

async function start(
  options: Partial<FakeInstanceOptions>,
  how: Partial<MachineStart> = {},
  change: (script: string) => string = identity,
  claim: StubAnswer = runAnswer(),
) {
  const root = newFolder();
  const metadata = await startMetadataService({ instanceId, region, role: "mayfly-machine" });
  cleanUps.push(() => metadata.close());
  const controlPlane = await startStubControlPlane({ claims: [claim] });
  cleanUps.push(() => controlPlane.close());
  const script = change(userDataScript({ ...somewhere, url: controlPlane.url, ...how }));
  const instance = await startFakeInstance({
    userData: Buffer.from(script).toString("base64"),
    instanceId,
    metadata,
    root,
    environment: { MAYFLY_SECOND_MILLISECONDS: "20" },
    ...options,
  });
  cleanUps.push(() => instance.cutPower());
  return { instance, off: instance.off, requests: controlPlane.requests, metadata, root };
}

function identity(script: string): string {
  return script;
}

/** The rule is set, and somebody removes it again. */
function ineffective(script: string): string {
  return script.replace("  for host in ", '  rm -f "$home/../../shut"\n  for host in ');
}

function withChecksum(script: string, sha256: string): string {
  return Object.values(pinned.sha256).reduce((text, value) => text.replaceAll(value, sha256), script);
}

async function serveRunner(content: string) {
  const folder = newFolder();
  await mkdir(join(folder, "bin"));
  await writeFile(join(folder, "bin/Runner.Listener"), content, { mode: 0o755 });
  const archive = execFileSync("tar", ["-cz", "-C", folder, "bin"]);
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end(archive);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUps.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, asked, sha256: createHash("sha256").update(archive).digest("hex") };
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-user-data-"));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

function isInstalled(program: string): boolean {
  return programPath(program) !== undefined;
}
