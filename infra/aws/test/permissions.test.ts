import { describe, expect, it } from "vitest";
import { functions } from "../../../src/targets/aws/functions.ts";
import { type Fields, parameters, readTemplate, resolveTemplate } from "./cloudformation.ts";
import { policyDifferences, type Statement, withoutOneLine } from "./policies.ts";

describe.each([
  ["without Fargate", false],
  ["with Fargate", true],
] as const)("the roles of the template %s", (_, onFargate) => {
  const given = { ...parameters, Fargate: onFargate ? "yes" : "no" };
  const resolved = resolveTemplate(readTemplate(), given);
  const roles = resolved.ofType("AWS::IAM::Role");

  function policyOfRole(name: string): readonly Statement[] {
    const inline = roles
      .filter(({ RoleName }) => RoleName === `mayfly-${name}`)
      .flatMap(({ Policies = [] }) => Policies);
    const apart = resolved
      .ofType("AWS::IAM::RolePolicy")
      .filter(({ RoleName }) => RoleName === `mayfly-${name}`);
    return [...inline, ...apart].flatMap(({ PolicyDocument }: Fields) => PolicyDocument.Statement);
  }

  it.each(functions)("let $name do what its code calls, and nothing else", ({ name }) => {
    expect(policyDifferences(name, policyOfRole(name), onFargate)).toEqual([]);
  });

  it.each(functions)("of $name without any one line of its policy are found out", ({ name }) => {
    let lines = 0;
    for (const lacking of withoutOneLine(policyOfRole(name))) {
      lines += 1;
      expect(policyDifferences(name, lacking, onFargate)).not.toEqual([]);
    }
    expect(lines).toBeGreaterThan(5);
  });

  it("let every function publish what it writes, where there is a bus for it, and know which", () => {
    const EventBusArn = "arn:aws:events:eu-west-1:123456789012:event-bus/ours";
    const withBus = resolveTemplate(readTemplate(), { ...given, EventBusArn });
    const policies = withBus
      .ofType("AWS::IAM::RolePolicy")
      .filter(({ PolicyName }) => PolicyName === "events");
    expect(policies.map(({ RoleName }) => RoleName).sort()).toEqual(
      functions.map(({ name }) => `mayfly-${name}`).sort(),
    );
    for (const { RoleName, PolicyDocument } of policies) {
      const name = functions.find((each) => RoleName === `mayfly-${each.name}`)?.name ?? "webhook";
      const statements = [...policyOfRole(name), ...PolicyDocument.Statement];
      expect(policyDifferences(name, statements, onFargate, false, EventBusArn)).toEqual([]);
    }
    const variables = withBus
      .ofType("AWS::Lambda::Function")
      .map(({ Environment }) => Environment.Variables as Fields);
    for (const { MAYFLY_EVENT_BUS, MAYFLY_DEPLOYMENT } of variables) {
      expect([MAYFLY_EVENT_BUS, MAYFLY_DEPLOYMENT]).toEqual([EventBusArn, "mayfly"]);
    }
    expect(JSON.stringify(resolved.ofType("AWS::Lambda::Function"))).not.toContain("EVENT_BUS");
  });

  it("may be taken on by one service each", () => {
    const services: Readonly<Record<string, string>> = {
      machine: "ec2",
      task: "ecs-tasks",
      "task-start": "ecs-tasks",
      "task-images": "codebuild",
    };
    for (const { RoleName, AssumeRolePolicyDocument } of roles) {
      const service = services[RoleName.replace("mayfly-", "")] ?? "lambda";
      expect(AssumeRolePolicyDocument.Statement).toEqual([
        { Effect: "Allow", Principal: { Service: `${service}.amazonaws.com` }, Action: "sts:AssumeRole" },
      ]);
    }
    expect(roles).toHaveLength(functions.length + (onFargate ? 4 : 1));
  });

  it("let a machine call the routes of machines, and nothing else", () => {
    const kinds = onFargate ? { machine: "ec2", task: "fargate" } : { machine: "ec2" };
    for (const [role, kind] of Object.entries(kinds)) {
      expect(policyOfRole(role)).toEqual([
        {
          Effect: "Allow",
          Action: ["execute-api:Invoke"],
          Resource: [`arn:aws:execute-api:eu-west-1:123456789012:the-api/*/POST/v1/machines/${kind}/*`],
        },
      ]);
    }
  });

  it("let a build push to its repository and write its log, and nothing else", () => {
    const here = "eu-west-1:123456789012";
    const push = ["BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart"];
    // What `docker manifest inspect` reads: the manifest, and the configuration that it names.
    const look = ["BatchGetImage", "GetDownloadUrlForLayer"];
    const statements = [
      statement(["ecr:GetAuthorizationToken"], "*"),
      statement(
        [...push, "CompleteLayerUpload", "PutImage", ...look].map((action) => `ecr:${action}`),
        `arn:aws:ecr:${here}:repository/mayfly-task-images`,
      ),
      statement(
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        `arn:aws:logs:${here}:log-group:/mayfly/mayfly/task-images:*`,
      ),
    ];
    expect(policyOfRole("task-images")).toEqual(onFargate ? statements : []);
  });

  it("E18: let a task open a shell where that was asked for, and its starter never", () => {
    const channels = ["CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"];
    const actions = channels.map((channel) => `ssmmessages:${channel}`);
    const withShell = resolveTemplate(readTemplate(), { ...given, FargateShell: "yes" });
    const shell = withShell.ofType("AWS::IAM::RolePolicy").filter(({ PolicyName }) => PolicyName === "shell");
    expect(shell).toEqual(
      onFargate
        ? [
            {
              RoleName: "mayfly-task",
              PolicyName: "shell",
              PolicyDocument: { Version: "2012-10-17", Statement: [statement(actions, "*")] },
            },
          ]
        : [],
    );
    expect(JSON.stringify(roles)).not.toContain("ssmmessages");
  });

  it("name a resource for everything but what only describes", () => {
    for (const { name } of functions) {
      for (const { Action, Resource, Condition } of policyOfRole(name)) {
        if (![Resource].flat().includes("*") || Condition !== undefined) continue;
        for (const action of [Action].flat()) expect(action).toMatch(/^(ec2|ecs):Describe/);
      }
    }
  });
});

function statement(Action: readonly string[], Resource: string): Statement {
  return { Effect: "Allow", Action, Resource: [Resource] } as Statement;
}
