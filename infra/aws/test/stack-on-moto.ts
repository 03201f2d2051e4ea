import { functions } from "../../../src/targets/aws/functions.ts";
import { parameters, readTemplate, resolveValue, type Template } from "./cloudformation.ts";
import type { MotoApi } from "./moto-api.ts";

/** What moto makes when a stack has it. The others are made there by the tests of Terraform. */
export const supported: ReadonlySet<string> = new Set([
  ...["AWS::EC2::SecurityGroup", "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Events::Rule"],
  ...["AWS::Logs::LogGroup", "AWS::IAM::Role", "AWS::IAM::InstanceProfile", "AWS::EC2::LaunchTemplate"],
  ...["AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping"],
  "AWS::CloudWatch::Dashboard",
]);

/** Makes the stack of the template, named as its deployment, with zips that hold nothing. */
export async function createStack(
  api: MotoApi,
  chosen: Readonly<Record<string, string>> & { readonly Deployment: string },
): Promise<void> {
  const template = readTemplate();
  await api.rest("s3", "PUT", `/${parameters.CodeBucket}`, bucketPlace);
  for (const { name } of functions) {
    await api.rest("s3", "PUT", `/${parameters.CodeBucket}/${parameters.CodePrefix}/${name}.zip`, "a zip");
  }
  const vpcs = await api.query("ec2", "DescribeVpcs", { Version: "2016-11-15" });
  const given = { ...chosen, VpcId: /<vpcId>(vpc-[0-9a-f]+)/.exec(vpcs)?.[1] ?? "" };
  const named = Object.entries(given).flatMap(([key, value], index) => [
    [`Parameters.member.${index + 1}.ParameterKey`, key],
    [`Parameters.member.${index + 1}.ParameterValue`, value],
  ]);
  await api.query("cloudformation", "CreateStack", {
    StackName: chosen.Deployment,
    TemplateBody: JSON.stringify(withoutUnsupported(template, chosen)),
    "Capabilities.member.1": "CAPABILITY_NAMED_IAM",
    ...Object.fromEntries(named),
  });
}

const bucketPlace =
  "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";

/** References to what moto does not make are followed here. */
function withoutUnsupported(whole: Template, chosen: Readonly<Record<string, string>>): object {
  const kept = Object.entries(whole.Resources).filter(([, { Type }]) => supported.has(Type));
  const gone = Object.keys(whole.Resources).filter((id) => !kept.some(([keptId]) => keptId === id));
  const isGone = (text: string): boolean =>
    gone.some((id) => new RegExp(`"${id}"|\\$\\{${id}[.}]`).test(text));
  const follow = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(follow);
    if (typeof value !== "object" || value === null) return value;
    const [name = ""] = Object.keys(value);
    const isReference = name === "Ref" || name.startsWith("Fn::");
    if (isReference && isGone(JSON.stringify(value))) return resolveValue(whole, value, chosen);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, follow(inner)]));
  };
  const outputs = Object.entries(whole.Outputs).filter(([, output]) => !isGone(JSON.stringify(output)));
  return {
    ...whole,
    Resources: follow(Object.fromEntries(kept)),
    Outputs: Object.fromEntries(outputs),
  };
}
