import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { App, DefaultStackSynthesizer } from "aws-cdk-lib";
import { stringify } from "yaml";
import { loadConfig } from "../../../../src/config/load.ts";
import { imagePipelines } from "../../../../src/targets/aws/image-pipelines.ts";
import { machineTemplates } from "../../../../src/targets/aws/machine-templates.ts";
import { TemplateStack } from "./template-stack.ts";

/** The configuration whose presets the committed template has. */
export const exampleConfig = fileURLToPath(new URL("../../../../examples/aws.yaml", import.meta.url));

/** The CloudFormation template for the presets of a configuration: needs neither bootstrap nor assets. */
export async function cloudFormationTemplate(configPath: string): Promise<object> {
  const loaded = await loadConfig({ path: configPath, environment: {} });
  const machines = machineTemplates(loaded);
  const pipelines = imagePipelines(loaded, packageVersion());
  const app = new App({ analyticsReporting: false });
  const synthesizer = new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
  const stack = new TemplateStack(app, "Mayfly", { machines, pipelines, synthesizer });
  const { template } = app.synth().getStackByName(stack.stackName);
  return withSubstitutions(template) as object;
}

/** That of the checkout, which is a part of what images hold. */
function packageVersion(): string {
  const text = readFileSync(new URL("../../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** As it is committed. CloudFormation reads YAML 1.1, in which a bare `no` and a bare date are no texts. */
export function templateText(template: object): string {
  const options = { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false } as const;
  return `# Made from infra/aws/cdk by \`npm run template\`. Do not edit it.\n${stringify(template, options)}`;
}

/** `{ "Fn::Sub": "${Deployment}-webhook" }` reads better than the join that the CDK writes. */
function withSubstitutions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSubstitutions);
  if (typeof value !== "object" || value === null) return value;
  const [separator, parts] = (value as { "Fn::Join"?: [string, unknown[]] })["Fn::Join"] ?? [];
  if (separator === "" && Array.isArray(parts)) return { "Fn::Sub": parts.map(substitution).join("") };
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withSubstitutions(inner)]));
}

function substitution(part: unknown): string {
  if (typeof part === "string") return part.replaceAll("${", "${!");
  const { Ref, "Fn::GetAtt": attribute } = part as { Ref?: string; "Fn::GetAtt"?: string[] };
  const name = Ref ?? attribute?.join(".");
  if (name === undefined) throw new Error(`This cannot stand in a text: ${JSON.stringify(part)}`);
  return `\${${name}}`;
}
