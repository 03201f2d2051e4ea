import { MayflyError } from "../../core/errors.ts";
import type { LaunchFailureKind, Purchase } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Compute, LaunchOutcome, LaunchRequest } from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callQuery, type QueryInput, type XmlElement } from "../aws/query.ts";
import { itemsAt } from "./ec2-answers.ts";
import { meaningOfEc2Code, speaksFirst } from "./ec2-errors.ts";
import {
  createFleetInput,
  type FleetAnswer,
  type FleetError,
  type FleetInput,
  poolName,
  readFleet,
} from "./ec2-fleet.ts";
import { createEc2Images } from "./ec2-images.ts";
import { type Ec2Instance, instancesOfLaunch, listMachines } from "./ec2-instances.ts";
import { launchTemplateName } from "./ec2-launch-template.ts";
import { type LaunchPlan, type Planner, planLaunch, type Refusal } from "./ec2-plan.ts";
import { createEc2Templates } from "./ec2-templates.ts";
import { terminateInstances } from "./ec2-terminate.ts";

export interface Ec2ComputeOptions {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Two deployments in one account and region need different names, or each would end the other's machines. */
  readonly deployment: string;
  /** Where machines get their addresses: one subnet for each availability zone, by the zone's name. */
  readonly subnets: Readonly<Record<string, string>>;
  /** Tags of instances and volumes beside our own, for example for the allocation of costs. */
  readonly tags?: Readonly<Record<string, string>>;
  /** What is different for machines of a preset, by its name. */
  readonly presets?: Readonly<Record<string, Ec2Preset>>;
}

export interface Ec2Preset {
  /** Id or name. Without it, the deployment's for this preset. */
  readonly launchTemplate?: string;
  readonly subnets?: Readonly<Record<string, string>>;
}

/**
 * A machine is an instance. One CreateFleet of type `instant` launches all machines of a launch, over every type and
 * zone that did not refuse lately; they bear the token of their launch and not their ids, as one call tags all alike.
 *
 * - The launch's token is EC2's client token, so that a repetition of the call answers what was launched. When the
 *   repetition would not be the same to the letter, EC2 says so, and what was launched is found by its tag.
 * - User data, role, security groups and shutdown behaviour are the launch template's, which is looked at before it is
 *   used. A machine gets no credential: it proves by its role which instance it is.
 * - EC2's own events say when a machine is gone; `list` says it for about an hour, and why.
 */
export function createEc2Compute(options: Ec2ComputeOptions): Compute {
  const { client, clock, log } = options;
  const place: Place = {
    options,
    planner: {
      images: createEc2Images({ client, clock }),
      templates: createEc2Templates({ client, clock }),
      templateOf: (preset) =>
        options.presets?.[preset]?.launchTemplate ?? launchTemplateName(options.deployment, preset),
      subnetsOf: (preset) => options.presets?.[preset]?.subnets ?? options.subnets,
    },
    launching: new Map(),
  };
  return {
    name: "ec2",
    launch(request) {
      const underWay = place.launching.get(request.token);
      if (underWay !== undefined) return underWay;
      const launch = launchAll(place, request).finally(() => place.launching.delete(request.token));
      place.launching.set(request.token, launch);
      return launch;
    },
    list: () => listMachines(client, options.deployment),
    terminate: (providerIds) => terminateInstances(client, log, providerIds),
    async close() {},
  };
}

interface Place {
  readonly options: Ec2ComputeOptions;
  readonly planner: Planner;
  /** Two calls for one launch share one. */
  readonly launching: Map<string, Promise<readonly LaunchOutcome[]>>;
}

/** From this attempt on, a launch of which nothing can be found is believed to have given nothing. */
const attemptsToFind = 3;
/** EC2 works at a fleet of a hundred for some seconds. */
const limits = { timeoutSeconds: 25, attempts: 2 };
const throttledSeconds = 10;

async function launchAll(place: Place, request: LaunchRequest): Promise<readonly LaunchOutcome[]> {
  try {
    const plan = await planLaunch(place.planner, request);
    if ("failure" in plan) return [refusedForAll(plan)];
    const answer = await createFleet(place, request, plan);
    return outcomesOf(request, plan, answer);
  } catch (error) {
    if (isMismatch(error)) return await findLaunched(place, request, error);
    return [refusedForAll(refusalOf(place, request, error))];
  }
}

async function createFleet(place: Place, request: LaunchRequest, plan: LaunchPlan): Promise<FleetAnswer> {
  const { client } = place.options;
  const fleet: FleetInput = {
    token: request.token,
    count: request.machines.length,
    purchase: request.purchase,
    tags: tagsOf(place.options, request),
    ...plan,
  };
  const resource = `launch template ${plan.launchTemplate}`;
  const call = { service: "ec2", action: "CreateFleet", resource, limits } as const;
  const answer = readFleet(await callQuery(client, { ...call, input: createFleetInput(fleet) }));
  const isSilent = answer.instances.length === 0 && answer.errors.length === 0;
  if (!isSilent || answer.fleetId === undefined) return answer;
  // The repetition of a call that was answered may say no more than which fleet it was.
  const described = await describe(client, "DescribeFleets", { FleetId: [answer.fleetId] });
  const [again] = itemsAt(described, "fleetSet");
  return again === undefined ? answer : readFleet(again);
}

function describe(client: AwsClient, action: string, input: QueryInput): Promise<XmlElement> {
  return callQuery(client, { service: "ec2", action, resource: "an instant fleet", input });
}

/** Our marks come last: a tag of the config must not hide a machine from its sweep. */
function tagsOf(options: Ec2ComputeOptions, request: LaunchRequest): Readonly<Record<string, string>> {
  const { fleet, spec, token, machines, repository } = request;
  const only = machines.length === 1 ? machines[0]?.id : undefined;
  return {
    ...options.tags,
    Name: only ?? `mayfly ${spec.preset}`,
    "mayfly:deployment": options.deployment,
    "mayfly:fleet": fleet,
    "mayfly:preset": spec.preset,
    "mayfly:launch": token,
    // Not what it is found by: machines of one launch bear the same tags.
    ...(only !== undefined && { "mayfly:machine": only }),
    ...(repository !== undefined && { "mayfly:repository": repository }),
  };
}

// ------------------------------------------------------------------------------------------------ outcomes

function outcomesOf(request: LaunchRequest, plan: LaunchPlan, answer: FleetAnswer): readonly LaunchOutcome[] {
  const { purchase, machines } = request;
  const zones = new Map(plan.pools.map(({ subnetId, zone }) => [subnetId, zone]));
  const launched = answer.instances.map(({ providerId, instanceType, subnetId = "" }): LaunchOutcome => {
    const pool = poolName(instanceType, zones.get(subnetId) ?? "unknown", purchase);
    return { kind: "launched", providerId, pool, purchase };
  });
  const refusals = poolRefusals(answer.errors, zones, purchase);
  if (launched.length >= machines.length) return [...launched, ...refusals];
  const short = shortage(request, answer);
  if (short.failure !== "capacity") return [...launched, ...refusals, refusedForAll(short)];
  const pools = [...new Set(refusals.flatMap((refusal) => refusal.pools))];
  // EC2 may fall short without having named every pool. What it did not name is asked, before anything dearer is.
  const othersLeft = pools.length > 0 && pools.length < plan.pools.length;
  const refused = { ...refusedForAll({ ...short, pools }), ...(othersLeft && { othersLeft }) };
  return [...launched, ...refusals, refused];
}

type PoolsRefused = LaunchOutcome & { readonly kind: "pools-refused" };

/** Pools that gave nothing, by what they said. Of a wrong request no pool is to blame. */
function poolRefusals(
  errors: readonly FleetError[],
  zones: ReadonlyMap<string, string>,
  purchase: Purchase,
): readonly PoolsRefused[] {
  const byCode = new Map<string, { failure: LaunchFailureKind; message: string; pools: Set<string> }>();
  for (const { code, message, instanceType, subnetId = "" } of errors) {
    const meaning = meaningOfEc2Code(code, message);
    const zone = zones.get(subnetId);
    if (meaning.subject !== "pool" || instanceType === undefined || zone === undefined) continue;
    const known = byCode.get(code) ?? { failure: meaning.failure, message, pools: new Set() };
    byCode.set(code, known);
    known.pools.add(poolName(instanceType, zone, purchase));
  }
  return [...byCode].map(([code, { failure, message, pools }]) => {
    return { kind: "pools-refused", failure, code, message: sentence(message), pools: [...pools] };
  });
}

/** Why machines are missing from an answer. */
function shortage({ machines }: LaunchRequest, { instances, errors }: FleetAnswer): Refusal {
  const [first] = [...errors].sort((left, right) =>
    speaksFirst(
      meaningOfEc2Code(left.code, left.message).failure,
      meaningOfEc2Code(right.code, right.message).failure,
    ),
  );
  const count = `EC2 gave ${Math.min(instances.length, machines.length)} of ${machines.length} machines`;
  if (first === undefined) {
    const message = `${count} and no reason.`;
    return { failure: "transient", code: "EC2_LAUNCH_SPENT", message };
  }
  const { failure, hint } = meaningOfEc2Code(first.code, first.message);
  const message = [`${count}: ${sentence(first.message)}`, hint].filter(Boolean).join(" ");
  return { failure, code: first.code, message };
}

function refusedForAll({ failure, code, message, pools = [] }: Refusal): LaunchOutcome {
  return { kind: "refused", failure, code, message, pools };
}

function sentence(text: string): string {
  const said = text.trim().replace(/\.?$/, ".");
  return said.charAt(0).toUpperCase() + said.slice(1);
}

// -------------------------------------------------------------------------------------------------- errors

/** A whole call that was refused. What may be repeated with the same token is thrown. */
function refusalOf(place: Place, request: LaunchRequest, error: unknown): Refusal {
  if (!(error instanceof MayflyError) || (error.kind === "retry" && !(error instanceof AwsError)))
    throw error;
  if (!(error instanceof AwsError))
    return { failure: "configuration", code: error.code, message: withAdvice(error) };
  const { failure, subject, hint } = meaningOfEc2Code(error.awsCode, error.message);
  if (failure === "throttle") throw throttled(place, error);
  if (error.kind === "retry" && failure === "transient") throw error;
  const isRefused = error.kind === "operator" && failure === "transient";
  return {
    failure: isRefused ? "configuration" : failure,
    code: error.awsCode === "" ? error.code : error.awsCode,
    message: failure === "configuration" || isRefused ? withAdvice(error, hint) : error.message,
    pools: subject === "pool" ? allPools(place, request) : [],
  };
}

function withAdvice(error: MayflyError, hint = error.suggestion): string {
  return `${error.message} ${hint}`;
}

function throttled(place: Place, cause: AwsError): MayflyError {
  return new MayflyError({
    kind: "wait",
    code: "EC2_THROTTLED",
    message: cause.message,
    suggestion: "Nothing; if it stays, ask AWS for a higher rate of CreateFleet in this region.",
    retryAt: place.options.clock.now() + throttledSeconds * 1_000,
    cause,
  });
}

function allPools({ planner }: Place, { spec, purchase }: LaunchRequest): readonly string[] {
  const zones = Object.keys(planner.subnetsOf(spec.preset));
  return spec.instanceTypes.flatMap((type) => zones.map((zone) => poolName(type, zone, purchase)));
}

// ----------------------------------------------------------------------------------- launches that are in doubt

/** The token was used with another request, or all that it launched has ended: what there is bears its tag. */
function isMismatch(error: unknown): error is AwsError {
  return error instanceof AwsError && /^Idempotent/.test(error.awsCode);
}

async function findLaunched(
  place: Place,
  request: LaunchRequest,
  cause: AwsError,
): Promise<readonly LaunchOutcome[]> {
  const { client, deployment } = place.options;
  const found = await instancesOfLaunch(client, deployment, request.token);
  const launched = found.map(launchedOutcome);
  if (request.attempt >= attemptsToFind) {
    const message = `An earlier call of this launch gave ${found.length} machines, and gives no more.`;
    return [...launched, refusedForAll({ failure: "transient", code: "EC2_LAUNCH_SPENT", message })];
  }
  // What was launched seconds ago may not be listed yet.
  if (launched.length > 0) return launched;
  throw new MayflyError({
    kind: "retry",
    code: "EC2_LAUNCH_IN_DOUBT",
    message: `EC2 knows the launch ${request.token} from an earlier call, and lists nothing of it yet.`,
    suggestion: "Nothing; it is looked for again.",
    cause,
  });
}

function launchedOutcome({ providerId, instanceType, zone, purchase }: Ec2Instance): LaunchOutcome {
  return { kind: "launched", providerId, pool: poolName(instanceType, zone, purchase), purchase };
}
