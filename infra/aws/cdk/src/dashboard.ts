import { Stack } from "aws-cdk-lib";
import { CfnDashboard } from "aws-cdk-lib/aws-cloudwatch";
import { functions, type QueueName, queueNames, queues } from "../../../../src/targets/aws/functions.ts";
import type { Place } from "./place.ts";
import { metricsNamespace } from "./stages/rebalancer.ts";

/** Six pictures: how long jobs wait, what is there, what ends, what is refused, what waits in queues, what fails. */
export function addDashboard(place: Place): void {
  const { scope, props } = place;
  const stack = Stack.of(scope);
  const ours = metricsNamespace(place);
  const by = (metric: string, dimension: string, statistic: string): readonly unknown[] => [
    {
      expression: `SEARCH('{"${ours}",${dimension}} MetricName="${metric}"', '${statistic}', 60)`,
      id: metric.toLowerCase(),
    },
  ];
  const widgets = [
    [
      "Seconds from creation to start",
      [
        [ours, "QueueToStart", { stat: "p50" }],
        ["...", { stat: "p95" }],
      ],
    ],
    [
      "Jobs and machines that are there",
      [by("Jobs", "State", "Maximum"), by("Machines", "State", "Maximum")],
    ],
    [
      "Jobs and machines that ended",
      [by("JobsEnded", "Outcome", "Sum"), by("MachinesEnded", "Reason", "Sum")],
    ],
    [
      "Launches, and what was refused",
      [[ours, "Launches", { stat: "Sum" }], by("LaunchRefusals", "Class", "Sum")],
    ],
    [
      "Messages that wait",
      Object.keys(queues).map((name) => [
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        "QueueName",
        queueNames(props.deployment, name as QueueName).queue,
        { stat: "Maximum" },
      ]),
    ],
    [
      "Failures of functions",
      functions.map(({ name }) => [
        ...["AWS/Lambda", "Errors", "FunctionName", `${props.deployment}-${name}`],
        { stat: "Sum" },
      ]),
    ],
  ].map(([title, metrics], index) => ({
    type: "metric",
    x: (index % 2) * 12,
    y: Math.floor(index / 2) * 6,
    width: 12,
    height: 6,
    properties: { title, metrics, region: stack.region, period: 60 },
  }));
  new CfnDashboard(scope, "Dashboard", {
    dashboardName: props.deployment,
    dashboardBody: stack.toJsonString({ widgets }),
  });
}
