import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";

/** As RegisterTaskDefinition takes it. Its family is named after its content. */
export interface TaskDefinition extends Readonly<Record<string, unknown>> {
  readonly family: string;
}

export interface FargateDefinitions {
  /** Makes sure that there is a task definition of this family; asks once in the life of a process. */
  register(definition: TaskDefinition): Promise<void>;
  /** It is looked for again before it is next used. */
  forget(family: string): void;
}

/**
 * Two processes that register the same content at the same time make two revisions of it, which are alike: tasks are
 * started from the family, so that a repeated launch is the same to the letter.
 */
export function createFargateDefinitions(client: AwsClient): FargateDefinitions {
  const known = new Map<string, Promise<void>>();
  return {
    register(definition) {
      const { family } = definition;
      const before = known.get(family);
      if (before !== undefined) return before;
      const made = registerOnce(client, definition).catch((error: unknown) => {
        // One bad moment must not spoil the family for the life of the process.
        known.delete(family);
        throw error;
      });
      known.set(family, made);
      return made;
    },
    forget: (family) => void known.delete(family),
  };
}

async function registerOnce(client: AwsClient, definition: TaskDefinition): Promise<void> {
  const resource = `task definition ${definition.family}`;
  try {
    const input = { taskDefinition: definition.family };
    await callJson(client, { service: "ecs", action: "DescribeTaskDefinition", resource, input });
  } catch (error) {
    // The word for a family that does not exist, or of which all revisions are deregistered.
    if (!(error instanceof AwsError) || error.awsCode !== "ClientException") throw error;
    await callJson(client, {
      service: "ecs",
      action: "RegisterTaskDefinition",
      resource,
      input: definition,
    });
  }
}
