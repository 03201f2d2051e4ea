import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, inject, it } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../../../src/config/load.ts";
import { functions } from "../../../../src/targets/aws/functions.ts";
import { imagePipelines } from "../../../../src/targets/aws/image-pipelines.ts";
import { machineTemplates } from "../../../../src/targets/aws/machine-templates.ts";
import { programPath } from "../../../../test/support/search-path.ts";
import { type Fields, parameters, resolveTemplate, type Template } from "../../test/cloudformation.ts";
import { sortedGrants } from "../../test/deployment.ts";
import { policyDifferences, type Statement, withoutOneLine } from "../../test/policies.ts";
import { terraformIn } from "../../test/terraform.ts";
import { cloudFormationTemplate, templateText } from "../src/template.ts";

const folder = mkdtempSync(join(tmpdir(), "mayfly-machine-images-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const packageFile = new URL("../../../../package.json", import.meta.url);
const path = join(folder, "mayfly.yaml");
writeFileSync(
  path,
  `github: { appId: 7 }
presets:
  x64: { architecture: x86_64, compute: ec2, cpu: 2, image: { pipeline: tools } }
  arm: { architecture: arm64, compute: ec2, cpu: 2, image: { pipeline: tools } }
  old: { architecture: x86_64, compute: ec2, cpu: 4, image: { pipeline: ubuntu } }
images:
  pipelines:
    tools: { dockerImages: ["postgres:17"], diskGib: 50 }
    ubuntu: { system: ubuntu-24.04, without: [docker] }
`,
);
const template = (await cloudFormationTemplate(path)) as Template;
const resolved = resolveTemplate(template);
const names = ["mayfly-image-x86-64-tools", "mayfly-image-arm64-tools", "mayfly-image-x86-64-ubuntu"];

function policyOfRole(name: string): readonly Statement[] {
  const inline = resolved
    .ofType("AWS::IAM::Role")
    .filter(({ RoleName }) => RoleName === `mayfly-${name}`)
    .flatMap(({ Policies = [] }) => Policies);
  const apart = resolved
    .ofType("AWS::IAM::RolePolicy")
    .filter(({ RoleName }) => RoleName === `mayfly-${name}`);
  return [...inline, ...apart].flatMap(({ PolicyDocument }: Fields) => PolicyDocument.Statement);
}

describe("a template with pipelines of images", () => {
  it("has one for each image and processor, without a schedule", () => {
    const pipelines = resolved.ofType("AWS::ImageBuilder::ImagePipeline");
    expect(pipelines.map(({ Name }) => Name)).toEqual(names);
    for (const { Schedule, Status, ImageRecipeArn, Name } of pipelines) {
      expect([Schedule, Status, ImageRecipeArn]).toEqual([undefined, "ENABLED", `the-ImageRecipe-${Name}`]);
    }
  });

  it("builds on a machine that nothing reaches, with IMDSv2, an encrypted disk, and our tags", () => {
    for (const builder of resolved.ofType("AWS::ImageBuilder::InfrastructureConfiguration")) {
      expect(builder).toMatchObject({
        InstanceProfileName: "mayfly-image-builder",
        SubnetId: "subnet-0123456789abcdef0",
        SecurityGroupIds: ["the-security-group"],
        InstanceMetadataOptions: { HttpTokens: "required", HttpPutResponseHopLimit: 1 },
        TerminateInstanceOnFailure: true,
        ResourceTags: { "mayfly:deployment": "mayfly" },
      });
    }
    const disks = resolved
      .ofType("AWS::ImageBuilder::ImageRecipe")
      .map(({ BlockDeviceMappings: [disk] }) => disk);
    expect(disks.map(({ DeviceName, Ebs }) => [DeviceName, Ebs.VolumeSize, Ebs.Encrypted])).toEqual([
      ["/dev/xvda", 50, true],
      ["/dev/xvda", 50, true],
      ["/dev/sda1", 30, true],
    ]);
  });

  it.each(functions)("lets $name do what its code calls, and nothing else", ({ name }) => {
    const statements = policyOfRole(name);
    expect(policyDifferences(name, statements, false, true)).toEqual([]);
    for (const lacking of withoutOneLine(statements)) {
      expect(policyDifferences(name, lacking, false, true)).not.toEqual([]);
    }
  });

  it("lets a builder change nothing of ours, and takes events of our images alone", () => {
    const allowed = policyOfRole("image-builder").flatMap(({ Action }) => [Action].flat());
    for (const action of allowed) {
      expect(action).toMatch(
        /^(ec2messages:|ssmmessages:|ssm:|imagebuilder:Get|s3:GetObject|logs:(Create|Put))/,
      );
      // A parameter may be a secret, and an order to another machine is no builder's to give.
      expect(action).not.toMatch(/Parameter|SendCommand|StartSession/);
    }
    const rules = resolved.ofType("AWS::Events::Rule");
    const { EventPattern } = rules.find(({ Name }) => Name === "mayfly-machine-images") ?? {};
    expect(EventPattern.resources).toEqual([
      { prefix: "arn:aws:imagebuilder:eu-west-1:123456789012:image/mayfly-image-" },
    ]);
  });

  it("says nothing of images to a function before the pipelines are those of its version", () => {
    const pipelines = Object.keys(template.Resources).filter(
      (id) => template.Resources[id]?.Type === "AWS::ImageBuilder::ImagePipeline",
    );
    const { ScaleupFunction } = template.Resources as Readonly<Record<string, Fields>>;
    expect(ScaleupFunction?.DependsOn).toEqual(expect.arrayContaining(pipelines));
    expect(resolved.resources.get("ScaleupFunction")?.Properties.Environment.Variables).toMatchObject({
      MAYFLY_IMAGE_PIPELINES: "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/mayfly-image-",
    });
  });

  it.skipIf(programPath("cfn-lint") === undefined)("is right for cfn-lint", () => {
    const file = join(folder, "template.yaml");
    writeFileSync(file, templateText(template));
    expect(parse(templateText(template), { version: "1.1" })).toEqual(template);
    execFileSync("cfn-lint", [file], { stdio: ["ignore", "inherit", "inherit"] });
  });
});

// The types of what is provided are those of a file that this project does not have.
const moto: string = inject("moto" as never);
const hasTerraform = programPath("terraform") !== undefined && moto !== "";

// moto knows nothing of Image Builder: what Terraform would make is compared, and not what it has made.
it.skipIf(!hasTerraform)("Terraform plans the same", async () => {
  const module = fileURLToPath(new URL("../../terraform", import.meta.url));
  const packaged = join(folder, "package");
  await mkdir(packaged);
  const loaded = await loadConfig({ path, environment: {} });
  for (const { name } of functions) await writeFile(join(packaged, `${name}.zip`), name);
  await writeFile(join(packaged, "machines.json"), JSON.stringify(machineTemplates(loaded)));
  const { version } = JSON.parse(await readFile(packageFile, "utf8"));
  await writeFile(join(packaged, "images.json"), JSON.stringify(imagePipelines(loaded, version)));
  const root = join(folder, "module");
  await cp(module, root, { recursive: true });
  await writeFile(join(root, "provider.tf"), provider());
  const terraform = await terraformIn(folder);
  await terraform(root, "init", "-no-color");
  const given = {
    package_folder: packaged,
    webhook_secret_arn: parameters.WebhookSecretArn,
    private_key_secret_arn: parameters.PrivateKeySecretArn,
    status_token_secret_arn: parameters.StatusTokenSecretArn,
    vpc_id: parameters.VpcId,
    subnets: JSON.parse(parameters.Subnets ?? ""),
  };
  await writeFile(join(root, "terraform.tfvars.json"), JSON.stringify(given));
  await terraform(root, "plan", "-no-color", "-out=plan", "-refresh=false");
  const { planned_values } = JSON.parse(await terraform(root, "show", "-json", "plan"));
  expect(ofPlan(planned_values.root_module)).toEqual(ofTemplate());
});

function ofTemplate(): Fields {
  const described = (type: string, describe: (one: Fields) => unknown): Fields =>
    Object.fromEntries(resolved.ofType(`AWS::ImageBuilder::${type}`).map((one) => [one.Name, describe(one)]));
  const rule = resolved.ofType("AWS::Events::Rule").find(({ Name }) => Name === "mayfly-machine-images");
  return {
    components: described("Component", ({ Version, Platform, Data, Description }) => [
      ...[Version, Platform, Description, Data],
    ]),
    recipes: described(
      "ImageRecipe",
      ({ Version, ParentImage, BlockDeviceMappings: [{ DeviceName, Ebs }] }) => [
        ...[Version, ParentImage, DeviceName],
        ...[Ebs.Encrypted, Ebs.VolumeType, Ebs.VolumeSize, Ebs.DeleteOnTermination],
      ],
    ),
    builders: described("InfrastructureConfiguration", (one) => [
      ...[one.InstanceProfileName, [...one.InstanceTypes].sort(), one.SubnetId],
      ...[one.InstanceMetadataOptions.HttpTokens, one.InstanceMetadataOptions.HttpPutResponseHopLimit],
      ...[one.TerminateInstanceOnFailure, one.ResourceTags],
    ]),
    distributions: described("DistributionConfiguration", ({ Distributions: [{ Region, ...one }] }) => [
      ...[Region, one.AmiDistributionConfiguration.Name, one.AmiDistributionConfiguration.AmiTags],
    ]),
    pipelines: described("ImagePipeline", (one) => [
      ...[one.Description, one.Status, one.EnhancedImageMetadataEnabled],
      ...[one.ImageTestsConfiguration.ImageTestsEnabled, one.Tags],
    ]),
    rule: [rule?.Description, rule?.EventPattern],
    roles: Object.fromEntries(
      ["image-builder", "scaleup", "status"].map((name) => [
        name,
        sortedGrants({ Statement: policyOfRole(name).filter(isOfImages) }),
      ]),
    ),
  };
}

function ofPlan(root: Fields): Fields {
  const all: readonly Fields[] = [root, ...root.child_modules].flatMap(({ resources = [] }) => resources);
  const described = (type: string, describe: (one: Fields) => unknown): Fields =>
    Object.fromEntries(
      all
        .filter((one) => one.type === `aws_imagebuilder_${type}`)
        .map(({ values }) => [values.name, describe(values)]),
    );
  const rule = all.find(({ address }) => address === "aws_cloudwatch_event_rule.machine_images[0]")?.values;
  const statements = (name: string): readonly Statement[] =>
    all
      .filter(({ type, values }) => type === "aws_iam_role_policy" && values.role === `mayfly-${name}`)
      .flatMap(({ values }) => JSON.parse(values.policy ?? `{"Statement":[]}`).Statement);
  return {
    components: described("component", ({ version, platform, data, description }) => [
      ...[version, platform, description, data],
    ]),
    recipes: described("image_recipe", ({ version, parent_image, block_device_mapping: [disk] }) => [
      ...[version, parent_image, disk.device_name],
      ...[disk.ebs[0].encrypted === "true", disk.ebs[0].volume_type],
      ...[disk.ebs[0].volume_size, disk.ebs[0].delete_on_termination === "true"],
    ]),
    builders: described("infrastructure_configuration", (one) => [
      ...[one.instance_profile_name, [...one.instance_types].sort(), one.subnet_id],
      ...[one.instance_metadata_options[0].http_tokens],
      ...[one.instance_metadata_options[0].http_put_response_hop_limit],
      ...[one.terminate_instance_on_failure, one.resource_tags],
    ]),
    distributions: described("distribution_configuration", ({ distribution: [{ region, ...one }] }) => [
      ...[region, one.ami_distribution_configuration[0].name, one.ami_distribution_configuration[0].ami_tags],
    ]),
    pipelines: described("image_pipeline", (one) => [
      ...[one.description, one.status, one.enhanced_image_metadata_enabled],
      ...[one.image_tests_configuration[0].image_tests_enabled, one.tags],
    ]),
    rule: [rule?.description, JSON.parse(rule?.event_pattern ?? "{}")],
    roles: Object.fromEntries(
      ["image-builder", "scaleup", "status"].map((name) => [
        name,
        sortedGrants({ Statement: statements(name).filter(isOfImages) }),
      ]),
    ),
  };
}

/** What the other tests do not compare. */
function isOfImages({ Action, Resource }: Statement): boolean {
  const text = JSON.stringify([Action, Resource]);
  return /imagebuilder|ssm:Update|ssmmessages|ec2messages/.test(text);
}

function provider(): string {
  const services = ["ec2", "iam", "imagebuilder", "sqs", "sts"];
  return `provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "stand-in"
  secret_key                  = "stand-in"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  endpoints {
    ${services.map((service) => `${service} = ${JSON.stringify(moto)}`).join("\n    ")}
  }
}
`;
}
