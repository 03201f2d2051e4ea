import type { CfnApi } from "aws-cdk-lib/aws-apigatewayv2";
import type { CfnTable } from "aws-cdk-lib/aws-dynamodb";
import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { FunctionName } from "../../../../src/targets/aws/functions.ts";
import { addApi } from "./api.ts";
import { addDashboard } from "./dashboard.ts";
import { addFargate } from "./fargate.ts";
import { addMachineImages } from "./machine-images.ts";
import { addLaunchTemplates, addMachineRole } from "./machines.ts";
import type { Place } from "./place.ts";
import type { MayflyProps } from "./props.ts";
import { addQueuePolicy, addQueues, type Queues } from "./queues.ts";
import { addRules } from "./rules.ts";
import { addClaim } from "./stages/claim.ts";
import { addLifecycle } from "./stages/lifecycle.ts";
import { addRebalancer } from "./stages/rebalancer.ts";
import { addScaledown } from "./stages/scaledown.ts";
import { addScaleup } from "./stages/scaleup.ts";
import { addStatus } from "./stages/status.ts";
import { addWebhook } from "./stages/webhook.ts";
import { addTable } from "./table.ts";

/**
 * Mayfly in a VPC that exists: API, functions, queues, ledger, schedules, rules of EC2's events, launch templates, alarms
 * and a dashboard. Each stage has a file of its own in `stages`, with its function, its permissions and what starts it.
 */
export class Mayfly extends Construct {
  readonly table: CfnTable;
  readonly queues: Queues;
  readonly api: CfnApi;
  readonly functions: Readonly<Record<FunctionName, CfnFunction>>;
  readonly machineRoleArn: string;
  readonly instanceProfileName: string;

  constructor(parent: Construct, id: string, props: MayflyProps) {
    super(parent, id);
    this.table = addTable(this, props);
    this.queues = addQueues(this, props);
    addQueuePolicy(this, "scaleup", this.queues.scaleup);
    addQueuePolicy(this, "scaledown", this.queues.scaledown);
    addRules(this, props, this.queues.lifecycle);
    this.api = addApi(this, props);
    const machineRole = addMachineRole(this, props, this.api);
    this.machineRoleArn = machineRole.attrArn;
    this.instanceProfileName = addLaunchTemplates(this, props, machineRole, this.api).ref;
    const place: Place = {
      scope: this,
      props,
      table: this.table,
      queues: this.queues,
      api: this.api,
      machineRoleArn: machineRole.attrArn,
      fargate: addFargate(this, props, this.api, this.queues.lifecycle),
      machineImages: addMachineImages(this, props, this.queues.lifecycle),
    };
    this.functions = {
      webhook: addWebhook(place),
      scaleup: addScaleup(place),
      claim: addClaim(place),
      lifecycle: addLifecycle(place),
      rebalancer: addRebalancer(place),
      scaledown: addScaledown(place),
      status: addStatus(place),
    };
    addDashboard(place);
  }
}
