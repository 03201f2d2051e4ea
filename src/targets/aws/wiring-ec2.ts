import { createEc2Compute } from "../../adapters/compute/ec2.ts";
import { createEc2Prices } from "../../adapters/prices/ec2.ts";
import { createFixedPrices } from "../../adapters/prices/fixed.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Compute } from "../../ports/compute.ts";
import type { Prices } from "../../ports/prices.ts";
import { type Basics, required } from "./wiring.ts";

/** Where machines run: one adapter, which calls nothing of AWS before it is asked for something. */
export function openComputes({ environment, client, ports, document }: Basics): ReadonlyMap<string, Compute> {
  const tags = environment.MAYFLY_TAGS;
  const ec2 = createEc2Compute({
    client,
    clock: ports.clock,
    log: ports.log,
    deployment: required(environment, "MAYFLY_DEPLOYMENT"),
    subnets: textsIn("MAYFLY_SUBNETS", required(environment, "MAYFLY_SUBNETS")),
    presets: document.ec2,
    ...(tags && { tags: textsIn("MAYFLY_TAGS", tags) }),
  });
  return new Map([[ec2.name, ec2]]);
}

/** What EC2 charges, and what the configuration says where that is not known. */
export function openPrices({ document, client, ports }: Basics): Prices {
  const otherwise = createFixedPrices(document.policy.presets);
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
