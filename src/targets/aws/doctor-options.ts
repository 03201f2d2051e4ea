import { busExists, imagePipelineExists } from "../../adapters/aws/inspection.ts";
import { nameInDeployment } from "../../adapters/images/image-builder-names.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { Finding } from "../../core/diagnosis.ts";
import { look, trouble } from "../doctor/look.ts";
import type { Examination } from "./doctor.ts";
import { wantedPipelines } from "./image-pipelines.ts";
import { readStoredClasses, withClasses } from "./stored-classes.ts";

/** What only some deployments have: classes in a parameter, a bus on which changes are published, pipelines for images. */
export async function examineOptions(
  loaded: Pick<LoadedConfig, "config" | "policy">,
  examination: Pick<Examination, "client">,
  variables: Readonly<Record<string, string>> | undefined,
): Promise<readonly Finding[]> {
  return [
    ...(await examineClasses(loaded, examination)),
    ...(await examineBus(examination, variables)),
    ...(await examinePipelines(loaded, examination, variables)),
  ];
}

async function examineClasses(
  { config, policy }: Pick<LoadedConfig, "config" | "policy">,
  { client }: Pick<Examination, "client">,
): Promise<readonly Finding[]> {
  const { classesParameter: name } = config;
  if (name === undefined) return [];
  const finding = await look(`classes in ${name}`, async () => {
    const { classes } = withClasses(policy, name, await readStoredClasses(client, name));
    return `It has ${Object.keys(classes).join(", ")}.`;
  });
  return [finding];
}

async function examineBus(
  { client }: Pick<Examination, "client">,
  variables: Readonly<Record<string, string>> | undefined,
): Promise<readonly Finding[]> {
  const arn = variables?.MAYFLY_EVENT_BUS;
  if (!arn) return [];
  const finding = await look("event bus", async () => {
    if (await busExists(client, arn)) return `What changes is published on ${arn}.`;
    const cure = "Make it, or deploy with the ARN of another one, or with none.";
    return trouble(`There is no bus ${arn}, on which changes should be published.`, cure);
  });
  return [finding];
}

async function examinePipelines(
  loaded: Pick<LoadedConfig, "config" | "policy">,
  { client }: Pick<Examination, "client">,
  variables: Readonly<Record<string, string>> | undefined,
): Promise<readonly Finding[]> {
  // Without the function's environment, where they are is not known; that it cannot be read is said of the function.
  if (variables === undefined) return [];
  const { MAYFLY_IMAGE_PIPELINES: arns } = variables;
  const cure = "Deploy again with this configuration (docs/guides/images.md).";
  return Promise.all(
    wantedPipelines(loaded).map(({ pipeline, architecture }) =>
      look(`image pipeline ${pipeline}, ${architecture}`, async () => {
        if (!arns) return trouble("The functions were deployed without any image pipeline.", cure);
        const arn = `${arns}${nameInDeployment({ pipeline, architecture })}`;
        if (await imagePipelineExists(client, arn)) return "It is there.";
        return trouble(`There is no ${arn}: machines that start from its image are never launched.`, cure);
      }),
    ),
  );
}
