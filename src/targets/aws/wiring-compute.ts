import { createEc2Compute } from "../../adapters/compute/ec2.ts";
import { createFargateCompute, type FargateComputeOptions } from "../../adapters/compute/fargate.ts";
import { createEc2Prices } from "../../adapters/prices/ec2.ts";
import { createFargatePrices } from "../../adapters/prices/fargate.ts";
import { createFixedPrices } from "../../adapters/prices/fixed.ts";
import type { Environment } from "../../config/load.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Compute } from "../../ports/compute.ts";
import type { Prices } from "../../ports/prices.ts";
import { type Basics, required } from "./wiring.ts";

/** Where machines run: adapters that call nothing of AWS before they are asked for something. */
export function openComputes(basics: Basics): ReadonlyMap<string, Compute> {
  const { environment, client, ports, document } = basics;
  const tags = environment.MAYFLY_TAGS;
  const common = {
    client,
    clock: ports.clock,
    log: ports.log,
    deployment: required(environment, "MAYFLY_DEPLOYMENT"),
    ...(tags && { tags: textsIn("MAYFLY_TAGS", tags) }),
  };
  const subnets = textsIn("MAYFLY_SUBNETS", required(environment, "MAYFLY_SUBNETS"));
  const computes = [createEc2Compute({ ...common, subnets, presets: document.ec2 })];
  // Without a preset there, nothing of it was deployed.
  if (document.tasks !== undefined) {
    const place = fargatePlace(environment, client.region, Object.values(subnets));
    const { script } = document.tasks;
    computes.push(createFargateCompute({ ...common, ...place, script, presets: document.fargate }));
  }
  return new Map(computes.map((compute) => [compute.name, compute]));
}

/** Where tasks run, as the infrastructure has made it. */
function fargatePlace(
  environment: Environment,
  region: string,
  subnets: readonly string[],
): Omit<FargateComputeOptions, "client" | "clock" | "log" | "deployment" | "script"> {
  return {
    region,
    cluster: required(environment, "MAYFLY_CLUSTER"),
    subnets,
    securityGroups: required(environment, "MAYFLY_TASK_SECURITY_GROUPS").split(","),
    publicAddresses: environment.MAYFLY_TASK_PUBLIC_ADDRESSES !== "no",
    taskRoleArn: required(environment, "MAYFLY_TASK_ROLE_ARN"),
    executionRoleArn: required(environment, "MAYFLY_TASK_EXECUTION_ROLE_ARN"),
    logGroup: required(environment, "MAYFLY_TASK_LOG_GROUP"),
    environment: { MAYFLY_URL: required(environment, "MAYFLY_API_URL"), MAYFLY_REGION: region },
  };
}

/** What EC2 and Fargate charge, and what the configuration says where that is not known. */
export function openPrices({ document, client, ports }: Basics): Prices {
  const fixed = createFixedPrices(document.policy.presets);
  const otherwise = createFargatePrices({ region: client.region, otherwise: fixed });
  return createEc2Prices({ client, clock: ports.clock, log: ports.log, otherwise });
}

/** A variable that is a JSON object of texts, for example `{"eu-west-1a":"subnet-0abc"}`. */
function textsIn(name: string, value: string): Readonly<Record<string, string>> {
  const texts = parseJson(value);
  const isRight = typeof texts === "object" && texts !== null && !Array.isArray(texts);
  if (isRight && Object.values(texts).every((text) => typeof text === "string")) {
    return texts as Readonly<Record<string, string>>;
  }
  throw new MayflyError({
    kind: "operator",
    code: "FUNCTION_VARIABLE_INVALID",
    message: `The variable ${name} of this function is not a JSON object of texts.`,
    suggestion: "Deploy all of Mayfly again: its infrastructure sets this variable.",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
