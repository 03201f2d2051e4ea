import { ec2EventOf } from "../../adapters/compute/ec2-events.ts";
import { fargateEventOf } from "../../adapters/compute/fargate-events.ts";
import { codeBuildEventOf } from "../../adapters/images/codebuild-events.ts";
import { imageBuilderEventOf } from "../../adapters/images/image-builder-events.ts";
import { MayflyError } from "../../core/errors.ts";
import { fullName, type LifecycleEvent, type Poke } from "../../core/model.ts";

/** The poke of this stage in the body of a message. Throws a `MayflyError` when there is none. */
export function readPoke(body: string, stage: Poke["stage"]): Poke {
  const message = parse(body);
  if (message.stage === stage && typeof message.fleet === "string" && message.fleet !== "")
    return message as unknown as Poke;
  throw unreadable(`a poke for ${stage}`);
}

/**
 * The event in the body of a message: one of ours, or one that EventBridge has sent itself. Undefined: it is about an
 * instance, a task or a build, and tells nothing that changes anything. Throws a `MayflyError` when it is neither.
 */
export function readLifecycleEvent(body: string): LifecycleEvent | undefined {
  const message = parse(body);
  if ("detail-type" in message) {
    if (message.source === "aws.codebuild") return codeBuildEventOf(message);
    if (message.source === "aws.imagebuilder") return imageBuilderEventOf(message);
    return message.source === "aws.ecs" ? fargateEventOf(message) : ec2EventOf(message);
  }
  const { kind, job, machineId, report, providerId } = message;
  const isEvent =
    (kind === "job" && typeof job === "object" && job !== null) ||
    (kind === "machine" && typeof machineId === "string" && typeof report === "object" && report !== null) ||
    (kind === "cloud" && typeof providerId === "string");
  if (isEvent) return message as unknown as LifecycleEvent;
  throw unreadable("an event");
}

/** A message of any of the queues in one line, for people; undefined when it is none of ours. */
export function summaryOfMessage(body: string): string | undefined {
  try {
    const message = parse(body);
    if ("stage" in message) {
      const { stage, fleet } = readPoke(body, message.stage === "scaledown" ? "scaledown" : "scaleup");
      return `look at fleet ${fleet} (${stage})`;
    }
    const event = readLifecycleEvent(body);
    if (event === undefined) return "an event that changes nothing";
    if (event.kind === "job")
      return `job ${event.job.id} of ${fullName(event.job.repository)}: ${event.job.action}`;
    if (event.kind === "machine") return `machine ${event.machineId}: ${event.report.step}`;
    if (event.kind === "image") return `the image of ${event.base}: a build has ended`;
    return `${event.compute} ${event.providerId}: ${event.what}`;
  } catch (error) {
    if (error instanceof MayflyError) return undefined;
    throw error;
  }
}

function parse(body: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw unreadable("JSON");
}

function unreadable(what: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "MESSAGE_UNREADABLE",
    message: `The body of a message in the queue is not ${what}.`,
    suggestion: "Find out who else sends to this queue. The message ends among the dead letters.",
  });
}
