import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Policy } from "../../../src/core/model.ts";
import { imagePipelines } from "../../../src/targets/aws/image-pipelines.ts";
import { preset } from "../../../test/builders.ts";
import { programPath } from "../../../test/support/search-path.ts";
import { createImageRoot, type ImageRootOptions, rootProblem } from "./image-root.ts";

const scripts = fileURLToPath(new URL("../scripts", import.meta.url));
const schema = new URL("../../../docs/reference/image-manifest.schema.json", import.meta.url);
const release = new URL("../../../src/agent/runner-release.json", import.meta.url);
const isManifest = new Ajv2020().compile(JSON.parse(readFileSync(schema, "utf8")));

const systems = ["amzn-2023", "ubuntu-24.04"] as const;
const machines = systems.flatMap((system) =>
  (["x86_64", "aarch64"] as const).map((hardware) => ({ system, hardware })),
);
const amazon: ImageRootOptions = { system: "amzn-2023", hardware: "x86_64" };

const problem = rootProblem();
if (problem !== undefined) process.stderr.write(`The scripts of images are not run: ${problem}.\n`);

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

describe.skipIf(problem !== undefined)("a machine that an image is made of", () => {
  it.each(machines)("with $system on $hardware gets everything, and a manifest that says so", (machine) => {
    const root = rootOf(machine);
    const names = {
      MAYFLY_VERSION: "0.1.0",
      MAYFLY_IMAGE_BUILDER: "packer",
      MAYFLY_DOCKER_IMAGES: "a/b:1 c",
    };
    const { status, said } = root.run("build", names);
    expect(said).toContain("The image is ready to be taken.");
    expect(status).toBe(0);
    const manifest = JSON.parse(root.read("/opt/mayfly/manifest.json"));
    expect(isManifest(manifest), JSON.stringify(isManifest.errors)).toBe(true);
    expect(manifest).toMatchObject({
      system: machine.system,
      architecture: machine.hardware === "x86_64" ? "x86_64" : "arm64",
      runnerVersion: JSON.parse(readFileSync(release, "utf8")).version,
      mayflyVersion: "0.1.0",
      builder: "packer",
      dockerImages: ["a/b:1", "c"],
    });
    expect(Object.keys(manifest.tools)).toEqual([...expected].sort());
    expect(manifest.tools).toMatchObject({ node: pinned("node"), docker: "29.1.2", "git-lfs": "3.4.1" });
    for (const program of ["node", "npm", "go", "gofmt", "aws", "kubectl", "helm", "gh", "yq"]) {
      expect(root.list("/usr/local/bin")).toContain(program);
    }
    expect(root.calls()).toContain("Runner.Listener warmup");
    expect(root.calls()).toContain("docker pull --quiet a/b:1");
    // The group before the images, and nothing of the work is left behind.
    expect(root.calls()).toContain("usermod --append --groups docker mayfly-runner");
    expect(root.list("/var/tmp")).toEqual([]);
  });

  it("may be built again, and downloads no tool twice", () => {
    const root = rootOf(amazon);
    expect(root.run("build").status).toBe(0);
    const before = root.read("/opt/mayfly/manifest.json");
    const downloads = () => root.calls().filter((call) => /^curl https:(?!.*\/gpg$)/.test(call)).length;
    const asked = downloads();
    expect(root.run("build").status).toBe(0);
    expect(downloads()).toBe(asked);
    expect(root.read("/opt/mayfly/manifest.json")).toBe(before);
  });

  it.each([
    ["node", "node", "/usr/local/lib"],
    ["go", "go", "/usr/local"],
    ["aws-cli", "aws_cli", "/usr/local"],
    ["kubectl", "kubectl", "/usr/local/bin"],
    ["helm", "helm", "/usr/local/bin"],
    ["gh", "gh", "/usr/local/bin"],
    ["yq", "yq", "/usr/local/bin"],
    ["runner", "runner", "/opt/mayfly"],
  ])("does not take %s with another checksum, and nothing of it is left", (script, spoiled, place) => {
    const root = rootOf({ ...amazon, spoiled });
    const before = place === "/opt/mayfly" ? [] : root.list(place);
    const { status, said } = root.run(script);
    expect(status).toBe(1);
    expect(said).toContain("does not have the checksum");
    // Three tries, as a download may break.
    expect(root.calls().filter((call) => call.startsWith("curl "))).toHaveLength(3);
    expect(root.list(place).filter((name) => !/^(work|runner\.)/.test(name))).toEqual(before);
    expect(root.list("/var/tmp")).toEqual([]);
  });

  it("stops at the first failure, and then has no manifest that a machine would believe", () => {
    const root = rootOf({ ...amazon, spoiled: "helm" });
    expect(root.run("build").status).toBe(1);
    expect(root.calls().filter((call) => call.includes("Runner.Listener"))).toEqual([]);
    expect(root.list("/opt/mayfly")).toEqual(["tools"]);
    expect(root.list("/opt/mayfly/tools")).toContain("kubectl");
    expect(root.list("/opt/mayfly/tools")).not.toContain("helm");
  });

  it.each(systems)("with %s does not take Docker's repository with another key", (system) => {
    const root = rootOf({ ...amazon, system, key: "0123456789ABCDEF0123456789ABCDEF01234567" });
    const { status, said } = root.run("docker");
    expect(status).toBe(1);
    expect(said).toContain("but 0123456789ABCDEF0123456789ABCDEF01234567");
    expect(root.calls().filter((call) => /^(dnf|apt-get)/.test(call))).toEqual([]);
    expect(root.list("/etc").filter((name) => name !== "alternatives")).toEqual(["os-release"]);
  });

  it("whose runner cannot be warmed up has no manifest", () => {
    const root = rootOf({ ...amazon, coldRunner: true });
    expect(root.run("runner").said).toContain("could not be warmed up");
    expect(root.list("/opt/mayfly")).not.toContain("manifest.json");
  });

  it("pulls nothing whose name is not one of a container image", () => {
    const root = rootOf(amazon);
    const { status, said } = root.run("docker-images", { MAYFLY_DOCKER_IMAGES: "fine:1 --all" });
    expect(status).toBe(1);
    expect(said).toContain("--all is not the name");
  });

  it("has its disk grown, or says that it is not", () => {
    const root = rootOf(amazon);
    expect(root.run("disk", { MAYFLY_DISK_GIB: "30" })).toMatchObject({ status: 0 });
    expect(root.calls()).toContain("growpart /dev/nvme0n1 1");
    expect(root.calls()).toContain("xfs_growfs /");
    const small = rootOf({ ...amazon, diskMib: 8_000 }).run("disk", { MAYFLY_DISK_GIB: "30" });
    expect(small.status).toBe(1);
    expect(small.said).toContain("has 7 GiB of the 30");
  });

  it("gets the same from the component of Image Builder", async () => {
    const policy = { presets: [preset({ compute: "ec2", image: "pipeline:tools" })] } as unknown as Policy;
    const settings = { system: "amazon-linux-2023", diskGib: 30, dockerImages: [], without } as const;
    const [pipeline] = imagePipelines({ config: { pipelines: { tools: settings } }, policy }, "0.1.0");
    const { phases } = parse(pipeline?.component ?? "");
    const root = rootOf(amazon);
    const { status, said } = root.runText(phases[0].steps[0].inputs.commands.join("\n"));
    // All but what is pinned, as the real checksums are not those of the stand-ins: the runner is the first of it.
    expect(said).toContain("does not have the checksum");
    expect(said).toContain("docker 29.1.2 is installed.");
    expect(said).toContain("helm is left out.");
    expect(status).toBe(1);
  });

  it("leaves out what it is told to", () => {
    const root = rootOf(amazon);
    expect(root.run("build", { MAYFLY_WITHOUT: "helm go" }).status).toBe(0);
    const { tools } = JSON.parse(root.read("/opt/mayfly/manifest.json"));
    expect(Object.keys(tools)).toEqual([...expected].filter((one) => one !== "helm" && one !== "go").sort());
  });

  it("that has another system is refused", () => {
    const root = createImageRoot({ ...amazon, system: "debian-13" as never });
    cleanUps.push(root.remove);
    expect(root.run("build").said).toContain("This system is debian-13");
  });
});

it("the pinned checksums are of SHA-256, one for each processor, and no two are the same", () => {
  const versions = readFileSync(join(scripts, "versions.env"), "utf8");
  const sums = [...versions.matchAll(/^(\w+)_sha256_(x86_64|arm64)=([0-9a-f]{64})$/gm)];
  const all = [...versions.matchAll(/_sha256_/g)];
  expect(sums).toHaveLength(all.length);
  expect(new Set(sums.map(([, , , sum]) => sum)).size).toBe(sums.length);
  for (const [, tool] of sums) {
    expect(sums.filter(([, other]) => other === tool).map(([, , processor]) => processor)).toEqual([
      "x86_64",
      "arm64",
    ]);
  }
});

it.skipIf(programPath("shellcheck") === undefined)("the scripts pass shellcheck", () => {
  const files = readdirSync(scripts).filter((name) => /\.(sh|env)$/.test(name));
  execFileSync("shellcheck", ["-x", ...files], { cwd: scripts });
});

/** What is downloaded and pinned, but for the runner. */
const without = ["node", "go", "aws-cli", "kubectl", "helm", "gh", "yq"];

const expected = [
  ...["aws-cli", "docker", "docker-buildx", "docker-compose", "gh", "git", "git-lfs", "go", "helm", "jq"],
  ...["kubectl", "node", "python", "runner", "yamllint", "yq"],
];

function pinned(tool: string): string | undefined {
  const versions = readFileSync(join(scripts, "versions.env"), "utf8");
  return new RegExp(`^${tool}_version=(.+)$`, "m").exec(versions)?.[1];
}

function rootOf(options: ImageRootOptions) {
  const root = createImageRoot(options);
  cleanUps.push(root.remove);
  return root;
}
