import { CfnOutput, type Stack } from "aws-cdk-lib";
import type { Mayfly } from "./mayfly.ts";
import { logicalId } from "./place.ts";

/** What people and other stacks want to know of a deployment. */
export function addOutputs(stack: Stack, mayfly: Mayfly, securityGroupId: string): void {
  const output = (name: string, description: string, value: string): void => {
    new CfnOutput(stack, name, { description, value });
  };
  const { attrApiEndpoint: url } = mayfly.api;
  output("WebhookUrl", "The webhook URL of the GitHub App", `${url}/webhook`);
  output("StatusUrl", "Answers who has the status token", `${url}/api/status`);
  output("ApiUrl", "For `mayfly --url`", url);
  output("TableName", "The ledger", mayfly.table.ref);
  for (const [name, queue] of Object.entries(mayfly.queues)) {
    output(logicalId(name, "QueueUrl"), `The queue ${name}`, queue.ref);
  }
  for (const [name, target] of Object.entries(mayfly.functions)) {
    output(logicalId(name, "FunctionArn"), `The function ${name}`, target.attrArn);
  }
  output("MachineSecurityGroupId", "The security group of the machines", securityGroupId);
  output("MachineRoleArn", "The role of the machines", mayfly.machineRoleArn);
  output("InstanceProfileName", "The instance profile of the machines", mayfly.instanceProfileName);
}
