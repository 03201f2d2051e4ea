import { CfnRule } from "aws-cdk-lib/aws-events";
import type { CfnQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { taskRuleName } from "./fargate.ts";
import { machineImageRuleName } from "./machine-images.ts";
import { arnHere, logicalId } from "./place.ts";
import type { MayflyProps } from "./props.ts";
import { addQueuePolicy } from "./queues.ts";
import { taskImageRuleName } from "./task-images.ts";

/** What EC2 tells of its own accord goes to the queue of lifecycle, which drops what is about other instances. */
export function addRules(scope: Construct, props: MayflyProps, lifecycle: CfnQueue): void {
  const rules = [
    addRule(scope, props, lifecycle, "instance-state", "An instance of EC2 runs, or is gone.", {
      "detail-type": ["EC2 Instance State-change Notification"],
      // What `ec2EventOf` understands; `pending` tells nothing.
      detail: { state: ["running", "shutting-down", "terminated", "stopping", "stopped"] },
    }),
    addRule(scope, props, lifecycle, "spot-interruption", "A spot instance is taken back in two minutes.", {
      "detail-type": ["EC2 Spot Instance Interruption Warning"],
    }),
    addRule(scope, props, lifecycle, "rebalance-recommendation", "A spot instance may be taken back soon.", {
      "detail-type": ["EC2 Instance Rebalance Recommendation"],
    }),
  ];
  // Whether or not they are made.
  const optional = [taskRuleName(props), taskImageRuleName(props), machineImageRuleName(props)];
  const others = optional.map((name) => arnHere(scope, "events", `rule/${name}`));
  addQueuePolicy(scope, "lifecycle", lifecycle, [
    {
      Sid: "EventsOfEc2",
      Effect: "Allow",
      Principal: { Service: "events.amazonaws.com" },
      Action: "sqs:SendMessage",
      Resource: lifecycle.attrArn,
      Condition: { ArnEquals: { "aws:SourceArn": [...rules.map((rule) => rule.attrArn), ...others] } },
    },
  ]);
}

function addRule(
  scope: Construct,
  { deployment }: MayflyProps,
  queue: CfnQueue,
  name: string,
  description: string,
  pattern: object,
): CfnRule {
  return new CfnRule(scope, logicalId(name, "Rule"), {
    name: `${deployment}-${name}`,
    description,
    eventPattern: { source: ["aws.ec2"], ...pattern },
    targets: [{ id: "lifecycle", arn: queue.attrArn }],
  });
}
