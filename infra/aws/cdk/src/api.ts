import { CfnApi, CfnIntegration, CfnRoute, CfnStage } from "aws-cdk-lib/aws-apigatewayv2";
import { type CfnFunction, CfnPermission } from "aws-cdk-lib/aws-lambda";
import { CfnLogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import type { FunctionName } from "../../../../src/targets/aws/functions.ts";
import { addAlarm } from "./alarms.ts";
import { specOf } from "./function.ts";
import { arnHere, logicalId, type Place } from "./place.ts";
import type { MayflyProps } from "./props.ts";

/** For each route. A burst of two hundred machines that start together is let through. */
const throttling = { throttlingRateLimit: 100, throttlingBurstLimit: 200 };

/** The HTTP API: GitHub's deliveries, the machines' claims and reports, and the status. */
export function addApi(scope: Construct, props: MayflyProps): CfnApi {
  const api = new CfnApi(scope, "Api", {
    name: props.deployment,
    protocolType: "HTTP",
    description: "Mayfly: webhook, claims of machines, status",
  });
  const log = new CfnLogGroup(scope, "ApiLogGroup", {
    logGroupName: `/aws/vendedlogs/${props.deployment}-api`,
    retentionInDays: props.logRetentionDays,
  });
  new CfnStage(scope, "ApiStage", {
    apiId: api.ref,
    stageName: "$default",
    autoDeploy: true,
    defaultRouteSettings: throttling,
    accessLogSettings: { destinationArn: log.attrArn, format: JSON.stringify(accessLog) },
  });
  addAlarm(scope, props, {
    name: "api-failures",
    says: "The API answers requests with 5xx: look at the logs of the functions webhook, claim and status.",
    metric: ["AWS/ApiGateway", "5xx", { ApiId: api.ref }],
    statistic: "Sum",
    above: 4,
    minutes: 5,
  });
  return api;
}

/** Neither headers nor bodies, which hold signatures. */
const accessLog = {
  time: "$context.requestTime",
  requestId: "$context.requestId",
  ip: "$context.identity.sourceIp",
  route: "$context.routeKey",
  path: "$context.path",
  status: "$context.status",
  caller: "$context.identity.userArn",
  milliseconds: "$context.responseLatency",
  error: "$context.error.message",
};

/** The routes of this function's triggers. */
export function addRoutes({ scope, api }: Place, name: FunctionName, target: CfnFunction): void {
  const integration = new CfnIntegration(scope, logicalId(name, "Integration"), {
    apiId: api.ref,
    integrationType: "AWS_PROXY",
    integrationUri: target.attrArn,
    payloadFormatVersion: "2.0",
    timeoutInMillis: 30_000,
  });
  new CfnPermission(scope, logicalId(name, "ApiPermission"), {
    action: "lambda:InvokeFunction",
    functionName: target.ref,
    principal: "apigateway.amazonaws.com",
    sourceArn: arnHere(scope, "execute-api", `${api.ref}/*/*`),
  });
  for (const trigger of specOf(name).triggers) {
    if (trigger.kind !== "http") continue;
    for (const route of trigger.routes) {
      new CfnRoute(scope, logicalId(name, "route", route.toLowerCase()), {
        apiId: api.ref,
        routeKey: route,
        authorizationType: trigger.authorizer === "iam" ? "AWS_IAM" : "NONE",
        target: `integrations/${integration.ref}`,
      });
    }
  }
}
