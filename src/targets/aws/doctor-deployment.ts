import {
  type DeployedFunction,
  inspectFunction,
  inspectQueue,
  inspectRule,
  inspectStack,
  inspectTable,
} from "../../adapters/aws/inspection.ts";
import { indexes } from "../../adapters/store/dynamodb-table.ts";
import type { Finding } from "../../core/diagnosis.ts";
import { findingOf, look, type Trouble, trouble, warning } from "../doctor/look.ts";
import type { Examination } from "./doctor.ts";
import {
  type FunctionName,
  type FunctionSpec,
  functions,
  type QueueName,
  queueNames,
  queues,
} from "./functions.ts";

/** The environment of each function that could be read. */
export type FunctionVariables = Partial<Record<FunctionName, Readonly<Record<string, string>>>>;

const deployAgain = "Deploy all of it, as docs/start/aws.md says; the name is that of --deployment.";

/** Functions and what starts them, queues and table, and whether they are those of the stack. */
export async function examineDeployment(
  examination: Examination,
): Promise<{ readonly findings: readonly Finding[]; readonly variables: FunctionVariables }> {
  const found = new Map<FunctionName, DeployedFunction>();
  const ofFunctions = await Promise.all(functions.map((spec) => examineFunction(examination, spec, found)));
  const ofQueues = await Promise.all(
    (Object.keys(queues) as QueueName[]).map((name) => examineQueue(examination, name)),
  );
  const variables = Object.fromEntries([...found].map(([name, made]) => [name, made.variables]));
  const table = await examineTable(examination);
  const stack = await examineStack(examination, found);
  const names = functions.map(({ name }) => name).join(", ");
  const findings = [
    ...inOne(ofFunctions, "functions", `${names} are there, and so is what starts them.`),
    ...inOne(ofQueues, "queues", `${Object.keys(queues).join(", ")} are there, and have no dead letters.`),
    ...[table, ...stack],
  ];
  return { findings, variables };
}

/** One sentence for all of them where all is well, or else those of which there is something to say. */
function inOne(findings: readonly Finding[], about: string, says: string): readonly Finding[] {
  const telling = findings.filter(({ verdict }) => verdict !== "ok");
  return telling.length > 0 ? telling : [{ about, verdict: "ok", says, cure: null }];
}

function examineFunction(
  { client, deployment }: Examination,
  { name, triggers }: FunctionSpec,
  found: Map<FunctionName, DeployedFunction>,
): Promise<Finding> {
  const functionName = `${deployment}-${name}`;
  return look(`function ${functionName}`, async () => {
    const made = await inspectFunction(client, functionName);
    if (made === undefined) return trouble("It is not there.", deployAgain);
    found.set(name, made);
    if (made.state === "Failed" || made.lastUpdate === "Failed") {
      return trouble("Lambda could not start it, or update it.", "See why on its page, and deploy it again.");
    }
    const other = wrongVariable(made, deployment);
    if (other !== undefined) return trouble(other, deployAgain);
    for (const trigger of triggers) {
      const stands = trigger.kind === "queue" ? queueTrouble(made, deployment, trigger.queue) : undefined;
      if (stands !== undefined) return stands;
      if (trigger.kind !== "schedule") continue;
      const runs = await inspectRule(client, functionName);
      if (runs === undefined)
        return trouble(`Its schedule, the rule ${functionName}, is not there.`, deployAgain);
      const cure = `aws events enable-rule --name ${functionName}`;
      if (!runs) return trouble(`Its schedule, the rule ${functionName}, is switched off.`, cure);
    }
    return "It is there, and so is what starts it.";
  });
}

/** A function of one deployment that works on what belongs to another would do harm. */
function wrongVariable({ variables }: DeployedFunction, deployment: string): string | undefined {
  for (const name of ["MAYFLY_DEPLOYMENT", "MAYFLY_TABLE"]) {
    const value = variables[name];
    if (value !== undefined && value !== deployment) {
      return `Its ${name} is ${value}, which is not of the deployment ${deployment}.`;
    }
  }
  const wanted = (Object.keys(queues) as QueueName[]).map((queue) => queueNames(deployment, queue).queue);
  for (const [name, value] of Object.entries(variables)) {
    const queue = value.split("/").at(-1) ?? "";
    if (/^MAYFLY_\w+_QUEUE_URL$/.test(name) && !wanted.includes(queue)) {
      return `Its ${name} is of the queue ${queue}, which is not of the deployment ${deployment}.`;
    }
  }
  return undefined;
}

function queueTrouble(made: DeployedFunction, deployment: string, queue: QueueName): Trouble | undefined {
  const name = queueNames(deployment, queue).queue;
  const mapping = made.queues.find(({ arn }) => arn.endsWith(`:${name}`));
  if (mapping === undefined)
    return trouble(`Nothing brings it the messages of the queue ${name}.`, deployAgain);
  if (mapping.enabled) return undefined;
  return trouble(
    `It does not get the messages of the queue ${name}: that is switched off.`,
    "Enable its trigger on the function's page.",
  );
}

function examineQueue({ client, deployment }: Examination, name: QueueName): Promise<Finding> {
  const names = queueNames(deployment, name);
  return look(`queue ${names.queue}`, async () => {
    const waiting = await inspectQueue(client, names.queue);
    const dead = await inspectQueue(client, names.deadLetterQueue);
    if (waiting === undefined) return trouble("It is not there.", deployAgain);
    if (dead === undefined)
      return trouble(`Its dead letters, ${names.deadLetterQueue}, have no queue.`, deployAgain);
    if (dead > 0) {
      return warning(
        `${dead} of its messages failed for good.`,
        `mayfly aws redrive --deployment ${deployment}`,
      );
    }
    return "It is there, and has no dead letters.";
  });
}

/** Of the ledger. */
const keys = ["pk", "sk"];

function examineTable({ client, deployment }: Examination): Promise<Finding> {
  return look(`table ${deployment}`, async () => {
    const table = await inspectTable(client, deployment);
    if (table === undefined) return trouble("It is not there.", deployAgain);
    const missing = Object.values(indexes).filter(({ name }) => !table.indexes.includes(name));
    if (keys.some((key, place) => table.keys[place] !== key) || missing.length > 0) {
      const cure = "Another table has this name. Give the deployment another name.";
      return trouble("It does not have the keys and indexes of the ledger.", cure);
    }
    if (table.status === "ACTIVE" || table.status === "UPDATING") return "It is there, with its indexes.";
    return trouble(`It is ${table.status}.`, "Wait until it is ACTIVE.");
  });
}

/** Where CloudFormation deployed it, its outputs say what belongs together. Other tools have no stack. */
async function examineStack(
  { client, deployment, stack }: Examination,
  found: ReadonlyMap<FunctionName, DeployedFunction>,
): Promise<readonly Finding[]> {
  const about = `stack ${stack}`;
  try {
    const outputs = await inspectStack(client, stack);
    if (outputs === undefined) return [];
    const expected = new Map<string, string>([["TableName", deployment]]);
    for (const [name, { arn }] of found) expected.set(`${capitalized(name)}FunctionArn`, arn);
    const other = [...expected].filter(([name, value]) => (outputs[name] ?? value) !== value);
    return [
      await look(about, async () => {
        if (other.length === 0) return "Its outputs name what was found here.";
        const names = other.map(([name]) => name).join(", ");
        const cure = `Name the deployment of this stack with --deployment, or the stack of ${deployment} with --stack.`;
        return trouble(`It made something else than what was found here: ${names}.`, cure);
      }),
    ];
  } catch (error) {
    return [findingOf(about, error)];
  }
}

function capitalized(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}
