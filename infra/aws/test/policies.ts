import type { FunctionName } from "../../../src/targets/aws/functions.ts";
import {
  fargatePermissions,
  type PolicyPlace,
  permissions,
  pipelinePermissions,
  policyOf,
} from "../../../src/targets/aws/permissions.ts";
import { account, parameters, region } from "./cloudformation.ts";

/** A statement as IAM reads it: what can be a list or a single one, is a list. */
export interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

const here = `${region}:${account}`;

/** Where the tests deploy. */
const place: PolicyPlace = {
  partition: "aws",
  region,
  account,
  deployment: "mayfly",
  tableArn: `arn:aws:dynamodb:${here}:table/mayfly`,
  queueArns: {
    scaleup: `arn:aws:sqs:${here}:mayfly-scaleup`,
    scaledown: `arn:aws:sqs:${here}:mayfly-scaledown`,
    lifecycle: `arn:aws:sqs:${here}:mayfly-lifecycle`,
  },
  secretArns: {
    "webhook-secret": parameters.WebhookSecretArn ?? "",
    "app-private-key": parameters.PrivateKeySecretArn ?? "",
    "status-token": parameters.StatusTokenSecretArn ?? "",
  },
  machineRoleArns: [`arn:aws:iam::${account}:role/mayfly-machine`],
  fargate: {
    clusterArn: `arn:aws:ecs:${here}:cluster/mayfly`,
    clusterName: "mayfly",
    roleArns: [`arn:aws:iam::${account}:role/mayfly-task`, `arn:aws:iam::${account}:role/mayfly-task-start`],
    imageProjectArn: `arn:aws:codebuild:${here}:project/mayfly-task-images`,
    imageRepositoryArn: `arn:aws:ecr:${here}:repository/mayfly-task-images`,
    imageLogArn: `arn:aws:logs:${here}:log-group:/mayfly/mayfly/task-images:*`,
  },
  classParameterArn: `arn:aws:ssm:${here}:parameter/mayfly/classes`,
  imageParameterArns: [
    `arn:aws:ssm:${region}::parameter/aws/service/*`,
    `arn:aws:ssm:${here}:parameter/mayfly/*`,
  ],
};

/**
 * Where the policy of a function's role differs from what the code declares that it calls; empty when it does not. Each
 * pair of action and resource is compared by itself, with its conditions.
 */
export function policyDifferences(
  name: FunctionName,
  statements: readonly Statement[],
  onFargate = false,
  withPipelines = false,
  eventBusArn?: string,
): readonly string[] {
  const writesLog: Statement = {
    Effect: "Allow",
    Action: ["logs:CreateLogStream", "logs:PutLogEvents"],
    Resource: `arn:aws:logs:${here}:log-group:/aws/lambda/mayfly-${name}:*`,
  };
  const called = [
    ...permissions[name],
    ...((onFargate && fargatePermissions[name]) || []),
    ...((withPipelines && pipelinePermissions[name]) || []),
  ];
  const declared = grants([
    ...policyOf(called, { ...place, ...(eventBusArn !== undefined && { eventBusArn }) }).Statement,
    writesLog,
  ]);
  const given = grants(statements);
  return [
    ...[...declared].filter((grant) => !given.has(grant)).map((grant) => `${name} may not: ${grant}`),
    ...[...given].filter((grant) => !declared.has(grant)).map((grant) => `${name} need not: ${grant}`),
  ];
}

/** One line for each action on each resource. */
export function grants(statements: readonly Statement[]): ReadonlySet<string> {
  const lines = statements.flatMap(({ Effect, Action, Resource, Condition }) =>
    [Action].flat().flatMap((action) =>
      [Resource].flat().map((resource) => {
        const condition = Condition === undefined ? "" : ` if ${conditionText(Condition)}`;
        return `${Effect} ${action} on ${resource}${condition}`;
      }),
    ),
  );
  return new Set(lines);
}

function conditionText(condition: NonNullable<Statement["Condition"]>): string {
  const tests = Object.entries(condition).flatMap(([test, keys]) =>
    Object.entries(keys).map(([key, values]) => `${test} ${key} = ${[values].flat().sort().join(" | ")}`),
  );
  return tests.sort().join(" and ");
}

/** The same statements, each time without one action of one of them. */
export function* withoutOneLine(statements: readonly Statement[]): Generator<readonly Statement[]> {
  for (const [index, statement] of statements.entries()) {
    const actions = [statement.Action].flat();
    for (const gone of actions) {
      const Action = actions.filter((action) => action !== gone);
      yield statements.toSpliced(index, 1, ...(Action.length === 0 ? [] : [{ ...statement, Action }]));
    }
  }
}
