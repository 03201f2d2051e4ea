import { CfnRule } from "aws-cdk-lib/aws-events";
import { CfnRole, CfnRolePolicy } from "aws-cdk-lib/aws-iam";
import {
  CfnEventInvokeConfig,
  CfnEventSourceMapping,
  CfnFunction,
  CfnPermission,
} from "aws-cdk-lib/aws-lambda";
import { CfnLogGroup } from "aws-cdk-lib/aws-logs";
import { type FunctionName, type FunctionSpec, functions } from "../../../../src/targets/aws/functions.ts";
import { addAlarm } from "./alarms.ts";
import { logicalId, onlyIf, type Place } from "./place.ts";
import type { MayflyProps } from "./props.ts";

export interface Statement {
  readonly Effect: "Allow";
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: object;
}

/** One permission. Actions and resources are written out: what a function may do is read here and nowhere else. */
export function allow(
  actions: readonly string[],
  resources: string | readonly string[],
  condition?: object,
): Statement {
  const Resource = typeof resources === "string" ? [resources] : resources;
  const statement = { Effect: "Allow", Action: actions, Resource } as const;
  return condition === undefined ? statement : { ...statement, Condition: { StringEquals: condition } };
}

export interface StageFunction {
  readonly name: FunctionName;
  /** What it does, in one line. */
  readonly does: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Beside writing its log. */
  readonly permissions: readonly Statement[];
  /** What is added to them where presets are on Fargate. */
  readonly onFargate?: readonly Statement[];
  /** And where EC2 Image Builder makes images. */
  readonly withPipelines?: readonly Statement[];
  readonly reservedConcurrency?: number;
}

/** What a function that publishes has to know. */
function busVariables({ eventBus, deployment }: MayflyProps): Readonly<Record<string, string>> {
  if (eventBus === undefined) return {};
  return onlyIf(eventBus.condition, { MAYFLY_EVENT_BUS: eventBus.arn, MAYFLY_DEPLOYMENT: deployment });
}

/** A function with a role of its own, its log, and an alarm for when it goes on failing. */
export function addFunction(
  { scope, props, fargate, machineImages }: Place,
  stage: StageFunction,
): CfnFunction {
  const { name } = stage;
  const { timeoutSeconds, memoryMib } = specOf(name);
  const functionName = `${props.deployment}-${name}`;
  // The name that Lambda looks for.
  const log = new CfnLogGroup(scope, logicalId(name, "LogGroup"), {
    logGroupName: `/aws/lambda/${functionName}`,
    retentionInDays: props.logRetentionDays,
  });
  const writeLog = allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.attrArn);
  const role = new CfnRole(scope, logicalId(name, "Role"), {
    roleName: functionName,
    assumeRolePolicyDocument: trust("lambda.amazonaws.com"),
    policies: [
      {
        policyName: name,
        policyDocument: { Version: "2012-10-17", Statement: [writeLog, ...stage.permissions] },
      },
    ],
  });
  const addPolicy = (policyName: string, statements: readonly Statement[]): CfnRolePolicy =>
    new CfnRolePolicy(scope, logicalId(name, policyName, "Policy"), {
      roleName: role.ref,
      policyName,
      policyDocument: { Version: "2012-10-17", Statement: statements },
    });
  if (fargate !== undefined && stage.onFargate !== undefined) {
    const added = addPolicy("fargate", stage.onFargate);
    if (fargate.condition !== undefined) added.cfnOptions.condition = fargate.condition;
  }
  if (machineImages !== undefined && stage.withPipelines !== undefined) {
    addPolicy("pipelines", stage.withPipelines);
  }
  const { eventBus } = props;
  if (eventBus !== undefined) {
    const added = addPolicy("events", [allow(["events:PutEvents"], eventBus.arn)]);
    if (eventBus.condition !== undefined) added.cfnOptions.condition = eventBus.condition;
  }
  const code = props.code(name);
  const made = new CfnFunction(scope, logicalId(name, "Function"), {
    functionName,
    description: stage.does,
    runtime: "nodejs22.x",
    architectures: ["arm64"],
    handler: "index.handler",
    code: { s3Bucket: code.bucket, s3Key: code.key },
    role: role.attrArn,
    timeout: timeoutSeconds,
    memorySize: memoryMib,
    environment: { variables: { ...busVariables(props), ...stage.environment } },
    ...(stage.reservedConcurrency !== undefined && {
      reservedConcurrentExecutions: stage.reservedConcurrency,
    }),
  });
  // What it knows of them is true only once they are.
  for (const pipeline of machineImages?.pipelines ?? []) made.addResourceDependency(pipeline);
  addAlarm(scope, props, {
    name: `${name}-errors`,
    says: `The function ${name} has failed for a quarter of an hour: look at its log.`,
    metric: ["AWS/Lambda", "Errors", { FunctionName: functionName }],
    statistic: "Sum",
    above: 0,
    minutes: 5,
    periods: 3,
  });
  return made;
}

/** The queues of this function's triggers. Not more of it at a time than EC2 and GitHub have patience for. */
export function addQueueTrigger({ scope, queues }: Place, name: FunctionName, target: CfnFunction): void {
  for (const trigger of specOf(name).triggers) {
    if (trigger.kind !== "queue") continue;
    new CfnEventSourceMapping(scope, logicalId(name, "Trigger"), {
      functionName: target.ref,
      eventSourceArn: queues[trigger.queue].attrArn,
      batchSize: trigger.batchSize,
      maximumBatchingWindowInSeconds: trigger.windowSeconds,
      functionResponseTypes: ["ReportBatchItemFailures"],
      scalingConfig: { maximumConcurrency: mostAtOnce },
    });
  }
}

const mostAtOnce = 5;

/** The schedule of this function's triggers. A round that failed is not repeated: the next one does what it left. */
export function addSchedule({ scope, props }: Place, name: FunctionName, target: CfnFunction): void {
  for (const trigger of specOf(name).triggers) {
    if (trigger.kind !== "schedule") continue;
    const minutes = trigger.everySeconds / 60;
    const rule = new CfnRule(scope, logicalId(name, "Schedule"), {
      name: `${props.deployment}-${name}`,
      description: `Calls the function ${name} regularly.`,
      scheduleExpression: `rate(${minutes} ${minutes === 1 ? "minute" : "minutes"})`,
      targets: [
        {
          id: name,
          arn: target.attrArn,
          retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
        },
      ],
    });
    new CfnPermission(scope, logicalId(name, "SchedulePermission"), {
      action: "lambda:InvokeFunction",
      functionName: target.ref,
      principal: "events.amazonaws.com",
      sourceArn: rule.attrArn,
    });
    new CfnEventInvokeConfig(scope, logicalId(name, "Invocations"), {
      functionName: target.ref,
      qualifier: "$LATEST",
      maximumRetryAttempts: 0,
      maximumEventAgeInSeconds: 60,
    });
  }
}

export function specOf(name: FunctionName): FunctionSpec {
  const spec = functions.find((candidate) => candidate.name === name);
  if (spec === undefined) throw new Error(`There is no function ${name}.`);
  return spec;
}

/** Who may take a role on. */
export function trust(service: string): object {
  return {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" }],
  };
}
