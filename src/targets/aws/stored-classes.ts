import type { AwsClient } from "../../adapters/aws/client.ts";
import { readParameter } from "../../adapters/aws/parameter.ts";
import { readClasses } from "../../config/classes.ts";
import type { PolicyDocument } from "../../config/policy-document.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Policy } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";

const keptMilliseconds = 300_000;

/**
 * The policy, with the classes of the parameter that the configuration names, where it names one. They are read before
 * the first job is routed, and again after five minutes; where that fails, those that were read before go on to hold.
 * Without any, nothing is routed: a job whose class is not known would be refused for good.
 */
export function policyWithStoredClasses(
  { policy, classesParameter }: Pick<PolicyDocument, "policy" | "classesParameter">,
  { client, clock, log }: { readonly client: AwsClient; readonly clock: Clock; readonly log: Log },
): () => Promise<Policy> {
  if (classesParameter === undefined) return async () => policy;
  let known: { readonly policy: Policy; readonly until: number; readonly text: string } | undefined;
  let underWay: Promise<Policy> | undefined;

  async function readAnew(name: string): Promise<Policy> {
    const until = clock.now() + keptMilliseconds;
    try {
      const text = await readStoredClasses(client, name);
      // The same policy as before, so that what was found out about it need not be found out again.
      if (known?.text === text) known = { ...known, until };
      else known = { policy: withClasses(policy, name, text), until, text };
    } catch (error) {
      if (known === undefined) throw error;
      log.warn("The classes could not be read again; those that were read before hold.", { error });
      known = { ...known, until };
    }
    return known.policy;
  }

  return () => {
    if (known !== undefined && clock.now() < known.until) return Promise.resolve(known.policy);
    underWay ??= readAnew(classesParameter).finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** The value of the parameter. Rejects with a `MayflyError` of kind `operator` where there is none. */
export async function readStoredClasses(client: AwsClient, name: string): Promise<string> {
  const text = await readParameter(client, name);
  if (text !== undefined) return text;
  throw new MayflyError({
    kind: "operator",
    code: "CLASSES_MISSING",
    message: `There is no parameter ${name}, which labels.classesParameter names.`,
    suggestion: "Put the classes there as JSON, in the region of this deployment, or remove the setting.",
  });
}

/** The policy with these classes in place of its own. */
export function withClasses(policy: Policy, name: string, text: string): Policy {
  const onFargate = policy.presets.some(({ compute }) => compute === "fargate");
  return { ...policy, classes: readClasses(text, { place: `the parameter ${name}`, onFargate }) };
}
