import { MayflyError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import type { Environment } from "./load.ts";

/**
 * The credentials that AWS gives a function in its environment, or a person their shell. Read them anew for every
 * request: those of a role are lent for a time.
 */
export function awsCredentials(environment: Environment): {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly sessionToken?: Secret;
} {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = environment;
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY) {
    throw new MayflyError({
      kind: "operator",
      code: "AWS_CREDENTIALS_MISSING",
      message: "The environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
      suggestion:
        'On your own machine, export them: eval "$(aws configure export-credentials --format env)".',
    });
  }
  const credentials = {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: new Secret(AWS_SECRET_ACCESS_KEY),
  };
  return AWS_SESSION_TOKEN ? { ...credentials, sessionToken: new Secret(AWS_SESSION_TOKEN) } : credentials;
}

/** The region of this function or shell, and the address of a stand-in for AWS where one is set. */
export function awsPlace(environment: Environment): { readonly region: string; readonly endpoint?: string } {
  const region = environment.AWS_REGION || environment.AWS_DEFAULT_REGION;
  if (!region) {
    throw new MayflyError({
      kind: "operator",
      code: "AWS_REGION_MISSING",
      message: "The environment has no AWS_REGION.",
      suggestion: "Set it to the region that Mayfly was deployed to, for example eu-west-1.",
    });
  }
  const endpoint = environment.AWS_ENDPOINT_URL;
  return endpoint ? { region, endpoint } : { region };
}
