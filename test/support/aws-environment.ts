import { type AwsClient, createAwsClient } from "../../src/adapters/aws/client.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { Secret } from "../../src/core/secret.ts";

/** A client for a stand-in of AWS at this address, with the real clock. */
export function standInClient(endpoint: string): AwsClient {
  return createAwsClient({
    region: "eu-west-1",
    endpoint,
    credentials: () => ({ accessKeyId: "stand-in", secretAccessKey: new Secret("stand-in") }),
    clock: createSystemClock(),
    random: createSystemRandom(),
  });
}
