import { type AwsClient, createAwsClient } from "../../src/adapters/aws/client.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { Secret } from "../../src/core/secret.ts";

export interface StandInKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A client for a stand-in of AWS at this address, with the real clock. */
export function standInClient(
  endpoint: string,
  { accessKeyId, secretAccessKey }: StandInKey = { accessKeyId: "stand-in", secretAccessKey: "stand-in" },
): AwsClient {
  return createAwsClient({
    region: "eu-west-1",
    endpoint,
    credentials: () => ({ accessKeyId, secretAccessKey: new Secret(secretAccessKey) }),
    clock: createSystemClock(),
    random: createSystemRandom(),
  });
}
