import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { programPath } from "../../../test/support/search-path.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const packer = "infra/images/packer";

const isMissing = programPath("packer") === undefined;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "mayfly-packer-"));
  for (const part of ["infra/images", "src/agent"])
    cpSync(join(root, part), join(folder, part), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Packer 1.6, which Debian has, is older than these; newer ones take the files as they are. */
function withoutNews(text: string): string {
  return text
    .replace(/^ {2}imds_support = .*\n/m, "")
    .replace(/^ {2}metadata_options \{\n(.*\n)*? {2}\}\n/m, "");
}

function validate(change: (text: string) => string = (text) => text) {
  const version = /v(\d+)\.(\d+)/.exec(execFileSync("packer", ["version"], { encoding: "utf8" }));
  const isOld = Number(version?.[1]) === 1 && Number(version?.[2]) < 7;
  const text = readFileSync(join(root, packer, "images.pkr.hcl"), "utf8");
  writeFileSync(join(folder, packer, "images.pkr.hcl"), change(isOld ? withoutNews(text) : text));
  if (isOld) rmSync(join(folder, packer, "plugins.pkr.hcl"), { force: true });
  const words = ["validate", "-var", "mayfly_version=0.1.0", "."];
  const { status, stdout, stderr } = spawnSync("packer", words, {
    cwd: join(folder, packer),
    encoding: "utf8",
    env: { ...process.env, CHECKPOINT_DISABLE: "1" },
  });
  return { status, said: `${stdout}${stderr}` };
}

describe.skipIf(isMissing)("the templates of Packer", () => {
  it("are valid", () => {
    expect(validate()).toMatchObject({ said: expect.not.stringContaining("Error"), status: 0 });
  });

  it.each([
    ["an argument that there is none of", (text: string) => text.replace("encrypt_boot", "encrypt_boots")],
    ["a variable that there is none of", (text: string) => text.replace("var.kms_key_id", "var.kms_key")],
    ["a script that is not there", (text: string) => text.replace("/install.sh", "/none.sh")],
  ])("would not be with %s", (_what, change) => {
    expect(validate(change).status).toBe(1);
  });

  it("are written as `packer fmt` writes them", () => {
    const { status } = spawnSync("packer", ["fmt", "-check", join(root, packer)]);
    expect(status).toBe(0);
  });
});

it("Packer makes encrypted images of both systems for both processors, with IMDSv2 and our tags", () => {
  const text = readFileSync(join(root, packer, "images.pkr.hcl"), "utf8");
  const names = [...text.matchAll(/^ {4}name\s+= "(.+)"$/gm)].map(([, name]) => name);
  expect(names).toEqual(["al2023-x86_64", "al2023-arm64", "ubuntu2404-x86_64", "ubuntu2404-arm64"]);
  for (const line of [/encrypt_boot\s+= true/, /imds_support\s+= "v2.0"/, /http_tokens\s+= "required"/]) {
    expect(text).toMatch(line);
  }
  for (const kind of ["tags", "snapshot_tags", "run_tags", "run_volume_tags"]) {
    expect([...text.matchAll(new RegExp(`^ {4}${kind}\\s+= local.tags$`, "gm"))]).toHaveLength(4);
  }
});
