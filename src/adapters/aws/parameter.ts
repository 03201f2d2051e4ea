import type { AwsClient } from "./client.ts";
import { AwsError } from "./errors.ts";
import { callJson } from "./json.ts";

/** The value of a parameter of SSM Parameter Store, decrypted where it is a SecureString; undefined: there is none. */
export async function readParameter(client: AwsClient, name: string): Promise<string | undefined> {
  try {
    const { Parameter } = await callJson<{ readonly Parameter?: { readonly Value?: string } }>(client, {
      service: "ssm",
      action: "GetParameter",
      resource: `the parameter ${name}`,
      input: { Name: name, WithDecryption: true },
      limits: { timeoutSeconds: 5 },
    });
    return Parameter?.Value ?? "";
  } catch (error) {
    if (error instanceof AwsError && error.awsCode === "ParameterNotFound") return undefined;
    throw error;
  }
}
