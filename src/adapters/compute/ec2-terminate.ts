import type { TerminateOutcome } from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callQuery } from "../aws/query.ts";
import { itemsAt, textAt } from "./ec2-answers.ts";
import { instancesThere } from "./ec2-instances.ts";

/** EC2 allows 1,000 in one call and recommends batches; one bad id is found faster in a small one. */
const batchSize = 100;

/**
 * Terminates instances in batches. EC2 refuses a whole batch for one id that it does not know (any more), for one that has
 * lost its tags with its life, or for one instance that is protected: those are taken out, and the rest is terminated.
 */
export async function terminateInstances(
  client: AwsClient,
  log: Log,
  providerIds: readonly string[],
): Promise<readonly TerminateOutcome[]> {
  const outcomes = new Map<string, TerminateOutcome["kind"]>();
  const real = [...new Set(providerIds)].filter((id) => /^i-[0-9a-f]{8,17}$/.test(id));
  for (let from = 0; from < real.length; from += batchSize) {
    for (const [id, kind] of await terminateBatch(client, log, real.slice(from, from + batchSize))) {
      outcomes.set(id, kind);
    }
  }
  return providerIds.map((providerId) => ({ providerId, kind: outcomes.get(providerId) ?? "absent" }));
}

type Outcomes = ReadonlyMap<string, TerminateOutcome["kind"]>;

async function terminateBatch(client: AwsClient, log: Log, ids: readonly string[]): Promise<Outcomes> {
  if (ids.length === 0) return new Map();
  try {
    const resource = ids.length === 1 ? `instance ${ids[0]}` : `${ids.length} instances`;
    const call = { service: "ec2", action: "TerminateInstances", resource } as const;
    const answer = await callQuery(client, { ...call, input: { InstanceId: ids } });
    return new Map(
      itemsAt(answer, "instancesSet").map((item) => {
        const states = [textAt(item, "currentState", "name"), textAt(item, "previousState", "name")];
        const isGone = states.includes("terminated");
        return [textAt(item, "instanceId") ?? "", isGone ? "absent" : "terminating"] as const;
      }),
    );
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    if (error.awsCode === "UnauthorizedOperation") return withoutGone(client, log, ids, error);
    if (!spoilsABatch.test(error.awsCode)) throw error;
    return withoutBad(client, log, ids, error);
  }
}

/**
 * Our role may end what bears our tag, and an instance that is terminated loses its tags before EC2 forgets it: then it is
 * not allowed to end it again, nor any other in the same call.
 */
async function withoutGone(
  client: AwsClient,
  log: Log,
  ids: readonly string[],
  error: AwsError,
): Promise<Outcomes> {
  const there = await instancesThere(client, ids);
  const gone = ids.filter((id) => !there.has(id));
  if (gone.length === 0) throw error;
  const rest = await terminateBatch(
    client,
    log,
    ids.filter((id) => there.has(id)),
  );
  return new Map([...rest, ...gone.map((id) => [id, "absent"] as const)]);
}

const spoilsABatch =
  /^(InvalidInstanceID|OperationNotPermitted|IncorrectInstanceState|IncorrectState|InvalidID)/;

async function withoutBad(
  client: AwsClient,
  log: Log,
  ids: readonly string[],
  error: AwsError,
): Promise<Outcomes> {
  const isUnknown = error.awsCode.startsWith("InvalidInstanceID") || error.awsCode.startsWith("InvalidID");
  const named = ids.filter(
    (id) => error.message.includes(`'${id}'`) || new RegExp(`\\b${id}\\b`).test(error.message),
  );
  const bad = named.length > 0 ? named : ids.length === 1 ? ids : [];
  if (bad.length === 0) {
    // It is not said which: each half is tried by itself.
    const middle = Math.ceil(ids.length / 2);
    const [left, right] = [ids.slice(0, middle), ids.slice(middle)];
    return new Map([
      ...(await terminateBatch(client, log, left)),
      ...(await terminateBatch(client, log, right)),
    ]);
  }
  if (!isUnknown)
    log.warn("An instance refuses to be terminated.", { stage: "scaledown", providerIds: bad, error });
  const rest = await terminateBatch(
    client,
    log,
    ids.filter((id) => !bad.includes(id)),
  );
  // What is protected is not gone: it is listed, and tried again.
  return new Map([...rest, ...bad.map((id) => [id, isUnknown ? "absent" : "terminating"] as const)]);
}
