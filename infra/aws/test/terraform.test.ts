import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { loadConfig } from "../../../src/config/load.ts";
import { functions } from "../../../src/targets/aws/functions.ts";
import { machineTemplates } from "../../../src/targets/aws/machine-templates.ts";
import { programPath } from "../../../test/support/search-path.ts";
import { terraformArchive } from "../../../tools/release/terraform-archive.ts";
import { type Fields, parameters, readTemplate, resolveTemplate } from "./cloudformation.ts";
import { codeBuildOverMoto } from "./codebuild-over-moto.ts";
import type { Deployment } from "./deployment.ts";
import { deploymentOfState } from "./deployment-of-state.ts";
import { deploymentOfTemplate } from "./deployment-of-template.ts";
import { motoApi } from "./moto-api.ts";
import { policyDifferences, type Statement, withoutOneLine } from "./policies.ts";
import { type Terraform, terraformIn } from "./terraform.ts";

const moto = inject("moto");
const module = fileURLToPath(new URL("../terraform", import.meta.url));
const example = fileURLToPath(new URL("../../../examples/aws.yaml", import.meta.url));
let folder: string;
let terraform: Terraform;

/** Undefined when it worked: why there is no provider. */
async function prepare(): Promise<string | undefined> {
  folder = await mkdtemp(join(tmpdir(), "mayfly-terraform-"));
  terraform = await terraformIn(folder);
  await cp(module, join(folder, "module"), { recursive: true });
  await writePackage(join(folder, "package"));
  try {
    await terraform(join(folder, "module"), "init", "-backend=false", "-no-color");
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Zips that are none, and the real description of the machines. */
async function writePackage(where: string): Promise<void> {
  await cp(join(module, "tests"), where, { recursive: true });
  for (const { name } of functions) await writeFile(join(where, `${name}.zip`), name);
  const machines = machineTemplates(await loadConfig({ path: example, environment: {} }));
  await writeFile(join(where, "machines.json"), JSON.stringify(machines));
}

const isInstalled = programPath("terraform") !== undefined;
const problem = isInstalled ? await prepare() : "there is no terraform";
if (isInstalled && problem !== undefined) {
  process.stderr.write(
    `The provider of AWS cannot be had, so the Terraform module is not tested: ${problem}\n`,
  );
}
afterAll(() => (folder === undefined ? undefined : rm(folder, { recursive: true, force: true })));

describe.skipIf(problem !== undefined)("the Terraform module", () => {
  it("is formatted", () => terraform(module, "fmt", "-check", "-recursive", "-diff"));

  it("is valid for the provider of AWS", () => terraform(join(folder, "module"), "validate", "-no-color"));

  it("has an example that is valid, also from the archive of a release", async () => {
    const released = join(folder, "released");
    await mkdir(released);
    const archive = await terraformArchive(
      module,
      fileURLToPath(new URL("../../../LICENSE", import.meta.url)),
    );
    await writeFile(`${released}.tar.gz`, archive);
    await promisify(execFile)("tar", ["-xzf", `${released}.tar.gz`, "-C", released]);
    await terraform(join(released, "example"), "init", "-no-color");
    await terraform(join(released, "example"), "validate", "-no-color");
  });

  it("keeps its rules", async () => {
    const given = `-var=package_folder=${join(folder, "package")}`;
    const output = await terraform(join(folder, "module"), "test", "-no-color", given);
    expect(output).toMatch(/Success! \d+ passed, 0 failed/);
  });
});

describe.skipIf(problem !== undefined || moto === "")("a deployment by Terraform, on moto", () => {
  let root: string;
  let state: string;
  let made: Deployment;
  let codeBuild: Awaited<ReturnType<typeof codeBuildOverMoto>>;

  beforeAll(async () => {
    codeBuild = await codeBuildOverMoto(moto);
    root = join(folder, "root");
    await cp(join(module, "tests"), root, { recursive: true });
    await rm(join(root, "variables.tftest.hcl"));
    await writeFile(join(root, "main.tf"), await rootModule({ codebuild: codeBuild.url }));
    await terraform(root, "init", "-no-color");
    await terraform(root, "apply", "-no-color", "-auto-approve", "-parallelism=30");
    state = await terraform(root, "show", "-json");
    made = deploymentOfState(state);
  });

  afterAll(() => codeBuild.close());

  // It is destroyed at the end.
  const given = { ...parameters, Fargate: "yes", FargateShell: "yes", DeletionProtection: "no" };
  const template = deploymentOfTemplate(resolveTemplate(readTemplate(), given));

  it.each(Object.keys(template))("makes the %s that the CloudFormation template makes", (part) => {
    expect(made[part]).toEqual(template[part]);
  });

  it.each(functions)("lets $name do what its code calls, and nothing else", ({ name }) => {
    const statements = policyOfRole(state, `mayfly-${name}`);
    expect(policyDifferences(name, statements, true)).toEqual([]);
    for (const lacking of withoutOneLine(statements)) {
      expect(policyDifferences(name, lacking, true)).not.toEqual([]);
    }
  });

  it("has nothing to change when it is planned again", async () => {
    await terraform(root, "plan", "-no-color", "-out=again");
    const { resource_changes } = JSON.parse(await terraform(root, "show", "-json", "again"));
    const changes = resource_changes.filter(
      ({ change }: Fields) => !change.actions.includes("no-op") && !isMotosOwn(change),
    );
    expect(changes.map(({ address }: Fields) => address)).toEqual([]);
  });

  it("leaves nothing when it is destroyed", async () => {
    await terraform(root, "destroy", "-no-color", "-auto-approve", "-parallelism=30");
    const { values } = JSON.parse(await terraform(root, "show", "-json"));
    expect(values?.root_module).toBeUndefined();
    const api = motoApi(moto);
    expect(
      (await api.json("sqs", "AmazonSQS.ListQueues", { QueueNamePrefix: "mayfly" })).QueueUrls ?? [],
    ).toEqual([]);
    const { Functions } = await api.rest("lambda", "GET", "/2015-03-31/functions/");
    expect(Functions.filter(({ FunctionName }: Fields) => FunctionName.startsWith("mayfly"))).toEqual([]);
    expect(await api.query("iam", "ListRoles", {})).not.toContain("<RoleName>mayfly");
    const logs = { logGroupNamePrefix: "/aws/lambda/mayfly" };
    expect((await api.json("logs", "Logs_20140328.DescribeLogGroups", logs)).logGroups).toEqual([]);
  });
});

/** What moto tells differently from what it was told, and AWS does not. What is not known before, is not in `after`. */
function isMotosOwn({ before, after }: Fields): boolean {
  if (before === null || after === null) return false;
  const changed = Object.keys(after).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
  return changed.every((name) => {
    if (name === "redrive_policy") {
      return JSON.stringify(JSON.parse(before[name])) === JSON.stringify(JSON.parse(after[name]));
    }
    return name === "tag_specifications";
  });
}

function policyOfRole(state: string, role: string): readonly Statement[] {
  const find = (module: Fields): readonly Statement[] => [
    ...(module.resources ?? [])
      .filter(({ type, values }: Fields) => type === "aws_iam_role_policy" && values.role === role)
      .flatMap(({ values }: Fields) => JSON.parse(values.policy).Statement),
    ...(module.child_modules ?? []).flatMap(find),
  ];
  return find(JSON.parse(state).values.root_module);
}

/** `others`: the addresses of services that are somewhere else than moto. */
async function rootModule(others: Readonly<Record<string, string>>): Promise<string> {
  const vpcs = await motoApi(moto).query("ec2", "DescribeVpcs", { Version: "2016-11-15" });
  const services = [
    ...[
      "apigatewayv2",
      "cloudwatch",
      "cloudwatchlogs",
      "codebuild",
      "dynamodb",
      "ec2",
      "ecr",
      "ecs",
      "events",
    ],
    ...["iam", "lambda"],
    ...["secretsmanager", "sqs", "sts"],
  ];
  return `
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "stand-in"
  secret_key                  = "stand-in"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  endpoints {
    ${services.map((service) => `${service} = ${JSON.stringify(others[service] ?? moto)}`).join("\n    ")}
  }
}
module "mayfly" {
  source                  = "../module"
  package_folder          = ${JSON.stringify(join(folder, "package"))}
  webhook_secret_arn      = ${JSON.stringify(parameters.WebhookSecretArn)}
  private_key_secret_arn  = ${JSON.stringify(parameters.PrivateKeySecretArn)}
  status_token_secret_arn = ${JSON.stringify(parameters.StatusTokenSecretArn)}
  vpc_id                  = ${JSON.stringify(/<vpcId>(vpc-[0-9a-f]+)/.exec(vpcs)?.[1])}
  subnets                 = ${parameters.Subnets}
  deletion_protection     = false
  fargate                 = true
  fargate_shell           = true
}
`;
}
