import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  launchTemplateData,
  templateProblems,
} from "../../../../src/adapters/compute/ec2-launch-template.ts";
import { buildLimitSeconds, servesSeconds } from "../../../../src/core/image.ts";
import { userDataLimitBytes, userDataScript } from "../../../../src/targets/aws/user-data.ts";
import { programPath } from "../../../../test/support/search-path.ts";
import {
  type Fields,
  parameters,
  readTemplate,
  resolveTemplate,
  templateFile,
} from "../../test/cloudformation.ts";
import { cloudFormationTemplate, exampleConfig, templateText } from "../src/template.ts";

describe("the CloudFormation template", () => {
  it("is what the CDK makes of the example; otherwise run `npm run template` in infra/aws/cdk", async () => {
    const made = templateText(await cloudFormationTemplate(exampleConfig));
    expect(unpacked(readFileSync(templateFile, "utf8"))).toEqual(unpacked(made));
  });

  it("says the same in the YAML that CloudFormation reads, where a bare `no` is no text", () => {
    const text = readFileSync(templateFile, "utf8");
    expect(parse(text, { version: "1.1" })).toEqual(parse(text));
  });

  it.skipIf(programPath("cfn-lint") === undefined)("is right for cfn-lint", () => {
    execFileSync("cfn-lint", [fileURLToPath(templateFile)], { stdio: ["ignore", "inherit", "inherit"] });
  });

  it("gives machines the user data that was tested, with the address of the API", () => {
    const [machine] = resolveTemplate(readTemplate()).ofType("AWS::EC2::LaunchTemplate");
    const script = Buffer.from(machine?.LaunchTemplateData.UserData, "base64").toString();
    const [constants, packed] = script.split(/^rest=.*printf %s '([^']+)'.*$/m);
    const whole = `${constants}${gunzipSync(Buffer.from(packed ?? "", "base64"))}`;
    const url = "https://the-api.execute-api.eu-west-1.amazonaws.com";
    const start = { url, region: "eu-west-1", bootTimeoutSeconds: 600, jobsMayReadMetadata: false };
    expect(whole).toBe(userDataScript(start));
    expect(script.length).toBeLessThan(userDataLimitBytes);
  });

  it("E15: keeps images of tasks for longer than they serve, and ends a build before nobody waits for it", () => {
    const { ofType } = resolveTemplate(readTemplate(), { ...parameters, Fargate: "yes" });
    const [repository] = ofType("AWS::ECR::Repository");
    const { rules } = JSON.parse(repository?.LifecyclePolicy.LifecyclePolicyText);
    const tagged = rules.filter(({ selection }: Fields) => selection.tagStatus !== "untagged");
    expect(tagged).toHaveLength(1);
    expect(tagged[0].selection.countType).toBe("sinceImagePushed");
    expect(tagged[0].selection.countNumber * 86_400).toBeGreaterThan(servesSeconds);
    const [project] = ofType("AWS::CodeBuild::Project");
    const minutes = project?.TimeoutInMinutes + project?.QueuedTimeoutInMinutes;
    expect(minutes * 60).toBeLessThan(buildLimitSeconds);
  });

  it("makes launch templates from which the adapter launches", () => {
    const machines = resolveTemplate(readTemplate()).ofType("AWS::EC2::LaunchTemplate");
    expect(machines.map(({ LaunchTemplateName }) => LaunchTemplateName)).toEqual([
      "mayfly-linux-x64",
      "mayfly-linux-arm64",
    ]);
    for (const { LaunchTemplateData: data, TagSpecifications } of machines) {
      expect(data).toEqual(
        launchTemplateData({
          imageId: data.ImageId,
          rootDeviceName: "/dev/xvda",
          diskGib: 50,
          instanceProfileArn: "arn:aws:iam::123456789012:instance-profile/mayfly-machine",
          securityGroupIds: ["the-security-group"],
          userData: data.UserData,
        }),
      );
      expect(problemsOf(data)).toEqual([]);
      // Without it the role of scaleup may not launch from it.
      expect(TagSpecifications).toEqual([
        { ResourceType: "launch-template", Tags: [{ Key: "mayfly:deployment", Value: "mayfly" }] },
      ]);
    }
  });
});

function problemsOf(data: ReturnType<typeof launchTemplateData>): readonly string[] {
  return templateProblems({
    shutdownBehavior: data.InstanceInitiatedShutdownBehavior,
    httpTokens: data.MetadataOptions.HttpTokens,
    hopLimit: data.MetadataOptions.HttpPutResponseHopLimit,
    hasUserData: data.UserData !== "",
    hasInstanceProfile: data.IamInstanceProfile.Arn !== "",
    devices: data.BlockDeviceMappings.map(({ DeviceName, Ebs }) => ({
      name: DeviceName,
      encrypted: Ebs.Encrypted,
    })),
  });
}

/** Two versions of zlib need not pack alike. */
function unpacked(template: string): unknown {
  return parse(template, (_key, value: unknown) =>
    typeof value === "string"
      ? value.replace(/printf %s '([\w+/=]{1000,})'/g, (_, packed: string) =>
          gunzipSync(Buffer.from(packed, "base64")).toString(),
        )
      : value,
  );
}
