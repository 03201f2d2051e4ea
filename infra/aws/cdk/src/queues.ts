import { CfnQueue, CfnQueuePolicy } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { type QueueName, type QueueSpec, queueNames, queues } from "../../../../src/targets/aws/functions.ts";
import { addAlarm } from "./alarms.ts";
import { logicalId } from "./place.ts";
import type { MayflyProps } from "./props.ts";

export type Queues = Readonly<Record<QueueName, CfnQueue>>;

/** Each queue with the one for its dead letters, their policies, and two alarms. */
export function addQueues(scope: Construct, props: MayflyProps): Queues {
  const made = Object.entries(queues).map(([name, spec]) => {
    return [name, addQueue(scope, props, name as QueueName, spec)] as const;
  });
  return Object.fromEntries(made) as unknown as Queues;
}

function addQueue(scope: Construct, props: MayflyProps, name: QueueName, spec: QueueSpec): CfnQueue {
  const names = queueNames(props.deployment, name);
  const dead = new CfnQueue(scope, logicalId(name, "DeadLetterQueue"), {
    queueName: names.deadLetterQueue,
    messageRetentionPeriod: spec.deadLetterSeconds,
    sqsManagedSseEnabled: true,
  });
  const queue = new CfnQueue(scope, logicalId(name, "Queue"), {
    queueName: names.queue,
    visibilityTimeout: spec.visibilitySeconds,
    messageRetentionPeriod: spec.retentionSeconds,
    redrivePolicy: { deadLetterTargetArn: dead.attrArn, maxReceiveCount: spec.attemptsLimit },
    sqsManagedSseEnabled: true,
  });
  new CfnQueuePolicy(scope, logicalId(name, "DeadLetterQueuePolicy"), {
    queues: [dead.ref],
    policyDocument: { Version: "2012-10-17", Statement: [onlyEncrypted(dead)] },
  });
  addAlarm(scope, props, {
    name: `${name}-dead-letters`,
    says: `Messages of the queue ${name} failed ${spec.attemptsLimit} times: \`mayfly aws redrive\` shows them.`,
    metric: ["AWS/SQS", "ApproximateNumberOfMessagesVisible", { QueueName: names.deadLetterQueue }],
    statistic: "Maximum",
    above: 0,
    minutes: 5,
  });
  addAlarm(scope, props, {
    name: `${name}-age`,
    says: `Messages of the queue ${name} wait longer than five minutes: its function fails, or is too slow.`,
    metric: ["AWS/SQS", "ApproximateAgeOfOldestMessage", { QueueName: names.queue }],
    statistic: "Maximum",
    above: 300,
    minutes: 5,
  });
  return queue;
}

/** What comes without TLS is refused, whoever sends it. */
function onlyEncrypted(queue: CfnQueue): object {
  return {
    Sid: "OnlyTls",
    Effect: "Deny",
    Principal: "*",
    Action: "sqs:*",
    Resource: queue.attrArn,
    Condition: { Bool: { "aws:SecureTransport": "false" } },
  };
}

/** For a queue to which nobody sends but functions, which their roles allow. */
export function addQueuePolicy(
  scope: Construct,
  name: QueueName,
  queue: CfnQueue,
  more: object[] = [],
): void {
  new CfnQueuePolicy(scope, logicalId(name, "QueuePolicy"), {
    queues: [queue.ref],
    policyDocument: { Version: "2012-10-17", Statement: [onlyEncrypted(queue), ...more] },
  });
}
