import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent } from "../../core/model.ts";
import { imageOfArn, pipelinePlace } from "./image-builder-names.ts";

/**
 * An event of EventBridge about an image of EC2 Image Builder, in our terms. Undefined: it is still being made, or is
 * none that a pipeline of ours makes.
 *
 * Events come at best once, perhaps late. Anything else than an event about an image is a `MayflyError` of kind
 * `operator`: a rule sends what it should not.
 */
export function imageBuilderEventOf(event: unknown): LifecycleEvent | undefined {
  const { source, time, detail, resources, "detail-type": type } = fieldsOf(event);
  const { status } = fieldsOf(fieldsOf(detail).state);
  const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
  const isImage = source === "aws.imagebuilder" && type === "EC2 Image Builder Image State Change";
  if (!isImage || typeof status !== "string" || Number.isNaN(at)) throw unknownEvent(source, type);
  if (!ends.has(status)) return undefined;
  const arn: unknown = Array.isArray(resources) ? resources[0] : undefined;
  if (typeof arn !== "string") return undefined;
  const place = pipelinePlace(imageOfArn(arn)?.name ?? "");
  if (place === undefined) return undefined;
  const { pipeline, architecture } = place;
  return { kind: "image", base: `pipeline:${pipeline}`, architecture, buildId: arn, at };
}

const ends = new Set(["AVAILABLE", "FAILED", "CANCELLED"]);

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function unknownEvent(source: unknown, type: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "IMAGE_BUILDER_EVENT_UNKNOWN",
    message: `An event is none that EC2 Image Builder is known to send: source ${String(source)}, type ${String(type)}.`,
    suggestion: "Check the EventBridge rules that send to the lifecycle queue.",
  });
}
