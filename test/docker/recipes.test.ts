import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { taskScript } from "../../src/targets/aws/task-script.ts";
import { type EmulatedGithub, emulatedGithub } from "../support/emulated-github.ts";
import { type EcsAddresses, ecsRedirect, startEcsAddresses } from "../support/fake-task.ts";
import { verifySignature } from "../support/signature-verifier.ts";
import { runAnswer, type StubControlPlane, startStubControlPlane } from "../support/stub-control-plane.ts";
import { type Base, chosenBases, importBase, whyNoBase } from "./base-images.ts";
import { environmentOf, podmanOf, type RunnerPlace, runRecipe, startRunnerPlace } from "./recipe-build.ts";

/*
 * The recipe of images and the script of tasks, for real: what CodeBuild would run is run with Podman on root file systems
 * of the distributions, and what comes of it starts as a task does, claims, and serves a job of the emulated GitHub.
 */

const engine = inject("engine");
const folder = dirname(engine.replace("unix://", ""));
const podman = podmanOf(folder);
const taskId = "0123456789abcdef0123456789abcdef";
const region = "eu-west-1";
const amazonLinux = 'ID="amzn"\nVERSION_ID="2023"\n';
/** Each of them takes a minute at most where nothing else runs. */
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const found =
  engine === ""
    ? []
    : await Promise.all(chosenBases().map(async (base) => ({ base, why: await whyNoBase(base) })));
const usable = found.filter(({ why }) => why === undefined).map(({ base }) => base);
for (const { base, why } of found) {
  if (why !== undefined) process.stderr.write(`The recipe is not tested on ${base.system}: ${why}.\n`);
}

describe.skipIf(engine === "")("the recipe of images", () => {
  let place: RunnerPlace;
  beforeAll(async () => {
    place = await startRunnerPlace(folder);
  });
  afterAll(() => place.close());

  describe.each(usable)("on $system", (base) => describeBase(base, () => place));

  it("E19: refuses Alpine with the reason, before anything is installed", async () => {
    await makeBusybox("alpine", { osRelease: "ID=alpine\nVERSION_ID=3.22.1\n" });
    const { status, log } = await runRecipe(folder, "localhost/mayfly-base:alpine", "alpine", place);
    expect(status).not.toBe(0);
    expect(log).toContain("needs glibc, which Alpine does not have");
    expect(log).not.toContain("third time");
  });

  it("E19: fails where the runner is not the one that was meant", async () => {
    await makeBusybox("wrong", { osRelease: amazonLinux, dnf: "#!/bin/sh\n" });
    // What is served is no release of GitHub's, whose checksums the recipe has.
    const { url } = place;
    const { status, log, image } = await runRecipe(folder, "localhost/mayfly-base:wrong", "wrong", { url });
    expect(status).not.toBe(0);
    expect(log).toMatch(/What came from http:\S+ does not have the checksum [0-9a-f]{64}/);
    await expect(podman("image", "inspect", image)).rejects.toThrow("image not known");
  });

  it.each([
    ["Amazon Linux 2023", amazonLinux, "amzn-2023"],
    ["RHEL 9", 'ID="rhel"\nVERSION_ID="9.6"\n', "rhel-9.6"],
  ])(
    "E19: goes through all of its steps for %s, with a dnf that only notes what it is asked",
    async (_, osRelease, system) => {
      await makeBusybox(system, { osRelease, dnf: '#!/bin/sh\necho "dnf $*" >>/dnf-was-asked\n' });
      const { status, log, image } = await runRecipe(
        folder,
        `localhost/mayfly-base:${system}`,
        system,
        place,
      );
      expect(log).toContain("is installed in /opt/mayfly/runner");
      expect(status).toBe(0);
      expect(await inImage(image, "cat /dnf-was-asked")).toBe(
        "dnf -y -q install git libicu tar gzip shadow-utils util-linux\n",
      );
      expect(JSON.parse(await inImage(image, "cat /opt/mayfly/manifest.json"))).toMatchObject({ system });
    },
  );
});

function describeBase(base: Base, placeNow: () => RunnerPlace): void {
  let name: string;
  let image: string;
  beforeAll(async () => {
    name = await importBase(base, podman, join(folder, "roots"));
  });

  it("E19: makes an image with all that the runner needs", async () => {
    const built = await runRecipe(folder, name, base.system, placeNow());
    expect(built.log).toContain("is installed in /opt/mayfly/runner");
    expect(built.status).toBe(0);
    image = built.image;
    const manifest = JSON.parse(await inImage(image, "cat /opt/mayfly/manifest.json"));
    expect(manifest).toMatchObject({ system: base.system, runnerUser: "mayfly-runner" });
    expect(await inImage(image, "ls /usr/lib/*/libicuuc.so.*")).toContain("libicuuc");
    expect(await inImage(image, "git --version && id -un mayfly-runner")).toContain("mayfly-runner");
  });

  it("serves a job as a task, with the agent as its entrypoint", () => serveJob(image, base));
}

/** One job of the emulated GitHub, from the claim of a task to its end. */
async function serveJob(image: string, base: Base): Promise<void> {
  let jobLog = "";
  const github = await emulatedGithub({
    onStepLog: (_job, text) => {
      jobLog += text;
    },
  });
  const ecs = await startEcsAddresses(taskId);
  try {
    const { job, jitConfig } = await queueJob(github);
    const controlPlane = await startStubControlPlane({ claims: [runAnswer({ jitConfig })] });
    cleanUps.push(() => controlPlane.close());
    const task = await runTask(image, ecs, controlPlane);
    expect(task.status, task.log).toBe(0);
    expect([job.status, job.conclusion]).toEqual(["completed", "success"]);
    expect(jobLog).toContain(`${base.system.split("-")[0]} as mayfly-runner`);
    expect(controlPlane.steps()).toEqual(["listening", "job-started", "exited"]);
    expect(controlPlane.lastReport("exited")).toMatchObject({ "exit-code": "0", "ran-job": "true" });
    const signers = { service: "execute-api", region, now: Date.now() };
    const credentials = { [ecs.credentials.accessKeyId]: ecs.credentials };
    for (const request of controlPlane.requests) {
      expect(request.machineId).toBe(`fargate/${taskId}`);
      expect(verifySignature(request, { ...signers, credentials }).kind).toBe("valid");
    }
    expect(task.log.includes("cannot sign")).toBe(base.oldCurl === true);
    expect(jobLog + task.log).not.toContain(ecs.credentialsPath);
    expect(github.problems).toEqual([]);
  } finally {
    await ecs.close();
    await github.close();
  }
}

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function queueJob(github: EmulatedGithub) {
  const step = '. /etc/os-release; echo "$ID as $(id -un)"; env';
  const workflow = `jobs:\n  build:\n    runs-on: task\n    steps:\n      - run: ${JSON.stringify(step)}`;
  const made = await github.call("POST", "/_emulator/runs", "", { repository: "octo-org/demo", workflow });
  const { body } = await github.call(
    "POST",
    "/orgs/octo-org/actions/runners/generate-jitconfig",
    await github.installationToken(),
    { name: "runner-1", runner_group_id: 1, labels: ["task"] },
  );
  const job = github.emulator.model.findJob(made.body.jobs[0].id);
  return { job, jitConfig: body.encoded_jit_config as string };
}

/** As the task definition says: the script as the argument of `sh -c`, as root, whatever the image's entrypoint is. */
async function runTask(image: string, ecs: EcsAddresses, controlPlane: StubControlPlane) {
  const curl = join(folder, "task-curl");
  writeFileSync(
    curl,
    `#!/bin/sh\nexec /usr/bin/curl "$@" --connect-to 169.254.170.2:80:127.0.0.1:${ecs.port}\n`,
    { mode: 0o755 },
  );
  const redirect = join(folder, "task-redirect.mjs");
  writeFileSync(redirect, ecsRedirect(ecs.port), { mode: 0o644 });
  const environment = {
    ...ecs.environment,
    MAYFLY_URL: controlPlane.url,
    MAYFLY_REGION: region,
    NODE_OPTIONS: "--import=/redirect.mjs",
  };
  const words = [
    ...["run", "--rm", "--network", "host", "--user", "0", "--entrypoint", "/bin/sh"],
    ...["--volume", `${curl}:/usr/local/bin/curl:ro`, "--volume", `${redirect}:/redirect.mjs:ro`],
    ...Object.entries(environment).flatMap(([key, value]) => ["--env", `${key}=${value}`]),
    ...[image, "-c", taskScript()],
  ];
  const child = spawn("podman", words, { env: environmentOf(folder), stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stdout.on("data", (text) => (log += text));
  child.stderr.on("data", (text) => (log += text));
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, log };
}

function inImage(image: string, command: string): Promise<string> {
  return podman("run", "--rm", "--network", "host", "--entrypoint", "/bin/sh", image, "-c", command);
}

/** The busybox of the tests, which says that it is another system. */
async function makeBusybox(
  tag: string,
  { osRelease, dnf = "#!/bin/sh\nexit 1\n" }: { readonly osRelease: string; readonly dnf?: string },
): Promise<void> {
  const context = join(folder, `busybox-${tag}`);
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, "os-release"), osRelease);
  writeFileSync(join(context, "dnf"), dnf, { mode: 0o755 });
  const account = "mayfly-runner:x:1002:1002::/home/mayfly-runner:/bin/sh";
  writeFileSync(join(context, "useradd"), `#!/bin/sh\necho '${account}' >>/etc/passwd\n`, { mode: 0o755 });
  const lines = [
    "FROM localhost/mayfly-test:latest",
    "USER 0",
    "COPY os-release /etc/os-release",
    "COPY dnf useradd /usr/bin/",
  ];
  writeFileSync(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
  await podman(
    "build",
    "--layers=false",
    "--network",
    "host",
    "--tag",
    `localhost/mayfly-base:${tag}`,
    context,
  );
}
