import { MayflyError } from "../../core/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Compute, LaunchOutcome, LaunchRequest } from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";
import { createFargateDefinitions, type FargateDefinitions } from "./fargate-definitions.ts";
import { meaningOfEcsCode, meaningOfRunTaskFailure } from "./fargate-errors.ts";
import { planTasks, type TaskPlan, type TaskRefusal, type TaskShape } from "./fargate-plan.ts";
import { createLaunchRate, type LaunchRate } from "./fargate-rate.ts";
import { stopTasks } from "./fargate-stop.ts";
import { type EcsTask, listTasks, listTasksOfLaunch, taskIdOf } from "./fargate-tasks.ts";

export interface FargateComputeOptions extends TaskShape {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A machine is an ECS task on Fargate. One RunTask starts up to ten; a launch of more is several calls, each with a
 * client token of its own that follows from the launch's. Tasks bear the token of their launch and not their ids, as
 * one call tags all alike; a task names itself by its task id and proves that by its role.
 *
 * - Nothing is handed to a task at its launch: what it runs stands in its task definition, which is registered once for
 *   each content and holds no secret. There are no overrides.
 * - Refusals come as errors, as `failures` of a call that succeeded, and later as the reason of a task that stopped.
 *   All three are read in `fargate-errors.ts`.
 * - ECS's own events say when a task is gone; `list` says it for about an hour, and why.
 */
export function createFargateCompute(options: FargateComputeOptions): Compute {
  const { client, clock, log, cluster, deployment } = options;
  const place: Place = {
    options,
    definitions: createFargateDefinitions(client),
    rate: createLaunchRate(clock),
    launching: new Map(),
  };
  return {
    name: "fargate",
    launch(request) {
      const underWay = place.launching.get(request.token);
      if (underWay !== undefined) return underWay;
      const launch = launchAll(place, request).finally(() => place.launching.delete(request.token));
      place.launching.set(request.token, launch);
      return launch;
    },
    list: () => listTasks(client, cluster, deployment),
    terminate: (providerIds) => stopTasks(client, log, cluster, providerIds),
    async close() {},
  };
}

interface Place {
  readonly options: FargateComputeOptions;
  readonly definitions: FargateDefinitions;
  readonly rate: LaunchRate;
  /** Two calls for one launch share one. */
  readonly launching: Map<string, Promise<readonly LaunchOutcome[]>>;
}

/** ECS takes no more in one call. */
const tasksPerCall = 10;
/** From this attempt on, a launch of which nothing can be found is believed to have given nothing. */
const attemptsToFind = 3;
const limits = { timeoutSeconds: 20, attempts: 2 };
const throttledSeconds = 10;

async function launchAll(place: Place, request: LaunchRequest): Promise<readonly LaunchOutcome[]> {
  const plan = planTasks(place.options, request);
  if ("failure" in plan) return [refusedForAll(plan)];
  try {
    await place.definitions.register(plan.definition);
    const answers = await runAll(place, request, plan);
    return outcomesOf(request, plan, answers);
  } catch (error) {
    if (isConflict(error)) return await findLaunched(place, request, plan, error);
    return [refusedForAll(refusalOf(place, plan, error))];
  }
}

interface RunTaskAnswer {
  readonly tasks?: readonly EcsTask[];
  readonly failures?: readonly { readonly reason?: string; readonly detail?: string }[];
}

/** All calls of a launch, and then the first failure among them: each may be repeated with its token. */
async function runAll(
  place: Place,
  { token, machines, purchase }: LaunchRequest,
  plan: TaskPlan,
): Promise<readonly RunTaskAnswer[]> {
  const { client } = place.options;
  const counts = Array.from({ length: Math.ceil(machines.length / tasksPerCall) }, (_, index) =>
    Math.min(tasksPerCall, machines.length - index * tasksPerCall),
  );
  const calls = counts.map(async (count, index) => {
    await place.rate.take(count, purchase);
    const input = { ...plan.input, count, clientToken: `${token}.${index}` };
    const call = { service: "ecs", action: "RunTask", resource: `task definition ${plan.family}` } as const;
    return callJson<RunTaskAnswer>(client, { ...call, input, limits });
  });
  const settled = await Promise.allSettled(calls);
  const failed = settled.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
}

// ------------------------------------------------------------------------------------------------ outcomes

function outcomesOf(
  { purchase, machines }: LaunchRequest,
  plan: TaskPlan,
  answers: readonly RunTaskAnswer[],
): readonly LaunchOutcome[] {
  const launched = answers
    .flatMap(({ tasks = [] }) => tasks)
    .map((task): LaunchOutcome => launchedOutcome(task, plan, purchase));
  if (launched.length >= machines.length) return launched;
  const failures = answers.flatMap((answer) => answer.failures ?? []);
  const count = `Fargate gave ${launched.length} of ${machines.length} tasks`;
  const meaning = meaningOfRunTaskFailure(failures);
  if (meaning === undefined) {
    const message = `${count} and no reason.`;
    return [...launched, refusedForAll({ failure: "transient", code: "FARGATE_LAUNCH_SPENT", message })];
  }
  const { failure, code, said, hint } = meaning;
  const message = [`${count}: ${said}`, hint].filter(Boolean).join(" ");
  const pools = failure === "capacity" ? [plan.pool] : [];
  return [...launched, refusedForAll({ failure, code, message, pools })];
}

function launchedOutcome(
  task: EcsTask,
  { pool }: TaskPlan,
  purchase: LaunchRequest["purchase"],
): LaunchOutcome {
  return { kind: "launched", providerId: taskIdOf(task), pool, purchase };
}

function refusedForAll({ failure, code, message, pools = [] }: TaskRefusal): LaunchOutcome {
  return { kind: "refused", failure, code, message, pools };
}

// -------------------------------------------------------------------------------------------------- errors

/** A whole launch that was refused. What may be repeated with the same tokens is thrown. */
function refusalOf(place: Place, plan: TaskPlan, error: unknown): TaskRefusal {
  if (!(error instanceof AwsError)) throw error;
  const { failure, hint } = meaningOfEcsCode(error.awsCode, error.message);
  if (failure === "throttle") throw throttled(place, error);
  if (error.kind === "retry" && failure === "transient") throw error;
  // It may have been deregistered since it was last looked at.
  place.definitions.forget(plan.family);
  return {
    failure,
    code: error.awsCode === "" ? error.code : error.awsCode,
    message: failure === "configuration" ? `${error.message} ${hint ?? error.suggestion}` : error.message,
    pools: failure === "capacity" ? [plan.pool] : [],
  };
}

function throttled(place: Place, cause: AwsError): MayflyError {
  return new MayflyError({
    kind: "wait",
    code: "FARGATE_THROTTLED",
    message: cause.message,
    suggestion: "Nothing; if it stays, ask AWS for a higher rate of Fargate task launches in this region.",
    retryAt: place.options.clock.now() + throttledSeconds * 1_000,
    cause,
  });
}

// ----------------------------------------------------------------------------------- launches that are in doubt

/** A token was used with another request, or all that it launched has stopped: what there is bears the launch's mark. */
function isConflict(error: unknown): error is AwsError {
  return error instanceof AwsError && error.awsCode === "ConflictException";
}

async function findLaunched(
  place: Place,
  request: LaunchRequest,
  plan: TaskPlan,
  cause: AwsError,
): Promise<readonly LaunchOutcome[]> {
  const { client, cluster } = place.options;
  const found = await listTasksOfLaunch(client, cluster, request.token);
  const launched = found.map((task) => launchedOutcome(task, plan, request.purchase));
  if (request.attempt >= attemptsToFind) {
    const message = `An earlier call of this launch gave ${found.length} tasks, and gives no more.`;
    return [...launched, refusedForAll({ failure: "transient", code: "FARGATE_LAUNCH_SPENT", message })];
  }
  // What was launched seconds ago may not be listed yet.
  if (launched.length > 0) return launched;
  throw new MayflyError({
    kind: "retry",
    code: "FARGATE_LAUNCH_IN_DOUBT",
    message: `ECS knows the launch ${request.token} from an earlier call, and lists nothing of it yet.`,
    suggestion: "Nothing; it is looked for again.",
    cause,
  });
}
