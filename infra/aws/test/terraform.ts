import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Runs Terraform in a folder and gives what it printed. */
export type Terraform = (cwd: string, ...args: readonly string[]) => Promise<string>;

/** A host without a way to the registry may have a folder of providers where software is put. */
const mirrors = ["/opt", "/usr/local/share", "/usr/share"]
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((path) => existsSync(join(path, "registry.terraform.io/hashicorp/aws")));

/** With its settings in this folder. */
export async function terraformIn(folder: string): Promise<Terraform> {
  const rc = join(folder, "terraform.rc");
  const mirror = mirrors.map((path) => `filesystem_mirror { path = ${JSON.stringify(path)} }`).join("\n");
  await writeFile(rc, mirror === "" ? "" : `provider_installation {\n${mirror}\n}\n`);
  const env = { ...process.env, TF_CLI_CONFIG_FILE: rc, TF_IN_AUTOMATION: "1", CHECKPOINT_DISABLE: "1" };
  return async (cwd, ...args) => {
    const options = { cwd, env, maxBuffer: 100_000_000 };
    return (await promisify(execFile)("terraform", [...args], options)).stdout;
  };
}
