import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent } from "../../core/model.ts";

/**
 * An event of EventBridge about a build of CodeBuild, in our terms. Undefined: the build goes on, or is none that
 * `createCodeBuildImages` began, which gives each of its builds variables that say what it makes.
 *
 * Events come at least once, perhaps late, perhaps never. Anything else than an event about a build is a `MayflyError` of
 * kind `operator`: a rule sends what it should not.
 */
export function codeBuildEventOf(event: unknown): LifecycleEvent | undefined {
  const { source, time, detail, "detail-type": type } = fieldsOf(event);
  const build = fieldsOf(detail);
  const status = build["build-status"];
  const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
  const isBuild = source === "aws.codebuild" && type === "CodeBuild Build State Change";
  if (!isBuild || typeof status !== "string" || Number.isNaN(at)) throw unknownEvent(source, type);
  if (status === "IN_PROGRESS") return undefined;
  const { BASE_IMAGE: base, TAG: tag, ARCHITECTURE: architecture } = variablesOf(build);
  if (!base || !tag) return undefined;
  if (architecture !== "x86_64" && architecture !== "arm64") return undefined;
  return { kind: "image", base, architecture, tag, at };
}

function variablesOf(build: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const { environment } = fieldsOf(build["additional-information"]);
  const list = fieldsOf(environment)["environment-variables"];
  const variables: Record<string, string> = {};
  for (const variable of Array.isArray(list) ? list : []) {
    const { name, value } = fieldsOf(variable);
    if (typeof name === "string" && typeof value === "string") variables[name] = value;
  }
  return variables;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function unknownEvent(source: unknown, type: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "CODEBUILD_EVENT_UNKNOWN",
    message: `An event is none that CodeBuild is known to send: source ${String(source)}, type ${String(type)}.`,
    suggestion: "Check the EventBridge rules that send to the lifecycle queue.",
  });
}
