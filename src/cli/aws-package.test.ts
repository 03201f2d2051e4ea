import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { programPath } from "../../test/support/search-path.ts";
import { loadConfig } from "../config/load.ts";
import { functions } from "../targets/aws/functions.ts";
import { writeFunctions } from "./aws-package.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-package-"));
  for (const { name } of functions) {
    await mkdir(join(folder, "bundles", name), { recursive: true });
    await writeFile(join(folder, "bundles", name, "index.js"), `exports.handler = "${name} ä";\n`);
  }
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function writePackage(name: string): Promise<string> {
  const path = join(folder, "mayfly.yaml");
  const presets = `{ big: { architecture: arm64, compute: ec2, diskGib: 80, cpu: 4 },
    own: { architecture: x86_64, compute: ec2, cpu: 2, ec2: { launchTemplate: ours } },
    tasks: { architecture: x86_64, compute: fargate, cpu: 1, ram: 2, image: example.com/runner } }`;
  await writeFile(path, `github: { appId: 1 }\npresets: ${presets}\n`);
  const where = { bundlesFolder: join(folder, "bundles"), folder: join(folder, name), version: "1.2.3" };
  await writeFunctions(await loadConfig({ path, environment: {} }), where);
  return where.folder;
}

it("gives the same zips for the same input", async () => {
  const [first, second] = [await writePackage("first"), await writePackage("second")];
  for (const { name } of functions) {
    const zips = [first, second].map((where) => readFile(join(where, `${name}.zip`)));
    expect((await zips[0])?.equals((await zips[1]) ?? Buffer.of())).toBe(true);
  }
});

it.skipIf(programPath("python3") === undefined)(
  "gives zips that others read, with files for everybody",
  async () => {
    const where = await writePackage("read");
    const program = `import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
print(json.dumps([[i.filename, oct(i.external_attr >> 16), z.read(i).decode()] for i in z.infolist()]))`;
    const output = execFileSync("python3", ["-c", program, join(where, "claim.zip")], { encoding: "utf8" });
    expect(JSON.parse(output)).toEqual([
      ["index.js", "0o100644", 'exports.handler = "claim ä";\n'],
      ["policy.json", "0o100644", await readFile(join(where, "claim", "policy.json"), "utf8")],
    ]);
  },
);

it("describes the machines of presets on EC2 without a launch template of their own", async () => {
  const machines = JSON.parse(await readFile(join(await writePackage("machines"), "machines.json"), "utf8"));
  expect(machines).toEqual([
    { preset: "big", architecture: "arm64", diskGib: 80, userData: expect.stringContaining("@mayfly-api@") },
  ]);
});
