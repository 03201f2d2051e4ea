/*
 * The functions of a deployment on AWS, as data: what starts each, and what it is given. The packager, the test host,
 * the bench and the infrastructure read the same table.
 */

export type FunctionName =
  | "webhook"
  | "scaleup"
  | "claim"
  | "lifecycle"
  | "rebalancer"
  | "scaledown"
  | "status";

export type QueueName = "scaleup" | "scaledown" | "lifecycle";

export interface FunctionSpec {
  readonly name: FunctionName;
  readonly triggers: readonly Trigger[];
  /** After which Lambda kills it. What it has not done by then comes again. */
  readonly timeoutSeconds: number;
  /** Lambda gives processor time in proportion: 1,769 MiB are one processor. */
  readonly memoryMib: number;
}

export type Trigger =
  | {
      readonly kind: "http";
      /** As an HTTP API writes them; `{…+}` stands for the rest of a path. */
      readonly routes: readonly string[];
      /** `iam`: AWS verifies a signature first. `none`: the function itself decides whom it answers. */
      readonly authorizer: "none" | "iam";
    }
  | {
      readonly kind: "queue";
      readonly queue: QueueName;
      readonly batchSize: number;
      /** How long messages are gathered for one batch. */
      readonly windowSeconds: number;
    }
  | { readonly kind: "schedule"; readonly everySeconds: number };

export const functions: readonly FunctionSpec[] = [
  {
    name: "webhook",
    triggers: [{ kind: "http", routes: ["POST /webhook"], authorizer: "none" }],
    // GitHub itself hangs up after ten seconds; what it did not see answered is asked for again.
    timeoutSeconds: 15,
    memoryMib: 256,
  },
  {
    name: "scaleup",
    // A burst of a matrix arrives within a second: one look for all of it, instead of one for each ten jobs.
    triggers: [{ kind: "queue", queue: "scaleup", batchSize: 100, windowSeconds: 1 }],
    timeoutSeconds: 60,
    memoryMib: 512,
  },
  {
    name: "claim",
    // A route for each role, whose policy names its path: it is allowed whether AWS compares that with the route or the path.
    triggers: [
      {
        kind: "http",
        routes: ["POST /v1/machines/ec2/{name+}", "POST /v1/machines/fargate/{name+}"],
        authorizer: "iam",
      },
    ],
    // An agent waits 30 seconds for its answer, and so does an HTTP API for its function.
    timeoutSeconds: 29,
    memoryMib: 512,
  },
  {
    name: "lifecycle",
    triggers: [{ kind: "queue", queue: "lifecycle", batchSize: 10, windowSeconds: 0 }],
    timeoutSeconds: 60,
    memoryMib: 256,
  },
  {
    name: "rebalancer",
    triggers: [{ kind: "schedule", everySeconds: 60 }],
    // A round ends before the next one begins.
    timeoutSeconds: 55,
    memoryMib: 512,
  },
  {
    name: "scaledown",
    triggers: [
      { kind: "schedule", everySeconds: 300 },
      { kind: "queue", queue: "scaledown", batchSize: 100, windowSeconds: 1 },
    ],
    timeoutSeconds: 60,
    memoryMib: 512,
  },
  {
    name: "status",
    triggers: [
      {
        kind: "http",
        routes: [
          "GET /api/{path+}",
          "POST /api/machines/{id}/terminate",
          "POST /api/images/build",
          "GET /metrics",
        ],
        authorizer: "none",
      },
    ],
    timeoutSeconds: 29,
    memoryMib: 512,
  },
];

export interface QueueSpec {
  /** Longer than the function works on a batch, or a message is dealt with twice at the same time. */
  readonly visibilitySeconds: number;
  readonly retentionSeconds: number;
  /** After so many attempts a message moves to the dead letters, which are kept for `deadLetterSeconds`. */
  readonly attemptsLimit: number;
  readonly deadLetterSeconds: number;
}

const daySeconds = 86_400;
const queue: QueueSpec = {
  visibilitySeconds: 90,
  retentionSeconds: 4 * daySeconds,
  attemptsLimit: 10,
  deadLetterSeconds: 14 * daySeconds,
};

export const queues: Readonly<Record<QueueName, QueueSpec>> = {
  scaleup: queue,
  scaledown: queue,
  lifecycle: queue,
};

/** What the queues of a deployment are called. The functions get addresses; people and the infrastructure use names. */
export function queueNames(
  deployment: string,
  name: QueueName,
): { readonly queue: string; readonly deadLetterQueue: string } {
  return { queue: `${deployment}-${name}`, deadLetterQueue: `${deployment}-${name}-dead` };
}
