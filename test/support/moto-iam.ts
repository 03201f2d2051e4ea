import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { type FunctionName, functions } from "../../src/targets/aws/functions.ts";
import type { AwsPolicy } from "../../src/targets/aws/permissions.ts";
import { type StandInKey, standInClient } from "./aws-environment.ts";

/** Makes a user of IAM for each function, and one for the test who may do anything. moto lets anybody in until then. */
export async function createUsers(
  moto: string,
): Promise<Readonly<Record<FunctionName | "test", StandInKey>>> {
  const client = standInClient(moto);
  const names = ["test", ...functions.map(({ name }) => name)] as const;
  const keys = new Map<string, StandInKey>();
  for (const name of names) {
    await callIam(client, "CreateUser", { UserName: name });
    const answer = await callIam(client, "CreateAccessKey", { UserName: name });
    const [, accessKeyId = ""] = /<AccessKeyId>(.+?)<\/AccessKeyId>/.exec(answer) ?? [];
    const [, secretAccessKey = ""] = /<SecretAccessKey>(.+?)<\/SecretAccessKey>/.exec(answer) ?? [];
    keys.set(name, { accessKeyId, secretAccessKey });
  }
  const everything = { Effect: "Allow", Action: ["*"], Resource: ["*"] } as const;
  await putPolicy(client, "test", { Version: "2012-10-17", Statement: [everything] });
  return Object.fromEntries(keys) as Record<FunctionName | "test", StandInKey>;
}

/** From now on moto verifies signatures and asks the policies of whoever signed. */
export async function enforce(moto: string): Promise<void> {
  const answer = await fetch(`${moto}/moto-api/reset-auth`, { method: "POST", body: "0" });
  if (!answer.ok) throw new Error(`moto does not enforce IAM: ${answer.status}.`);
}

/**
 * Gives a user a policy with the same actions, and no other. moto looks only at the names of calls: it takes every resource
 * but `*` for another one, and a transaction for a call of its own, which AWS allows by the writes that it has.
 */
export async function putPolicy(client: AwsClient, user: string, { Statement }: AwsPolicy): Promise<void> {
  const actions = Statement.flatMap(({ Action }) => Action);
  const Action = actions.includes("dynamodb:PutItem") ? [...actions, "dynamodb:TransactWriteItems"] : actions;
  const policy = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action, Resource: ["*"] }] };
  const input = { UserName: user, PolicyName: "granted", PolicyDocument: JSON.stringify(policy) };
  await callIam(client, "PutUserPolicy", input);
}

async function callIam(
  client: AwsClient,
  action: string,
  input: Readonly<Record<string, string>>,
): Promise<string> {
  const { body } = await client.send({
    ...{ service: "iam", action, resource: "the stand-in" },
    headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
    // moto writes a body anew before it verifies the signature, and an asterisk not as `URLSearchParams` does.
    body: new URLSearchParams({ Action: action, Version: "2010-05-08", ...input })
      .toString()
      .replaceAll("*", "%2A"),
    refusalIn: (answer) => ({ awsCode: String(answer.status), message: answer.body, details: {} }),
  });
  return body;
}
