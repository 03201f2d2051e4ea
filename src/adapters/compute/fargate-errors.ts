import type { LaunchFailureKind } from "../../core/model.ts";

export interface FargateMeaning {
  readonly failure: LaunchFailureKind;
  /** What an operator does, where ECS's own sentence does not say it. */
  readonly hint?: string;
}

/*
 * The one place where what ECS and Fargate say of launches and ends becomes ours. They say most of it in sentences,
 * under codes that mean anything; the sentences are the same in all three places where they appear: the refusal of a
 * call, the `failures` of a call that succeeded, and the reason of a task that stopped.
 */

/** The first row that fits is taken. */
const sentences: readonly (FargateMeaning & { readonly says: RegExp })[] = [
  { failure: "throttle", says: /rate exceeded|request limit exceeded|throttl|too many concurrent/i },
  {
    failure: "quota",
    says: /limit on the number of (tasks|vCPUs)|concurrent tasks|CPU configuration is above your limit/i,
    hint: "Ask AWS for a higher quota of Fargate vCPUs in this region (Service Quotas, AWS Fargate).",
  },
  { failure: "capacity", says: /capacity is unavailable|insufficient capacity|no capacity/i },
  { failure: "capacity", says: /^RESOURCE:|insufficient free addresses|not enough free addresses/i },
  {
    failure: "configuration",
    says: /capacity provider.*(not found|not associated|does not exist)|EMPTY CAPACITY PROVIDER/i,
    hint: "Deploy the cluster again: it needs the capacity providers FARGATE and FARGATE_SPOT.",
  },
  {
    failure: "configuration",
    says: /service linked role/i,
    hint: "Create the role of ECS once: aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
  },
  {
    failure: "configuration",
    says: /CannotPullContainer|pull image manifest|image Manifest does not contain descriptor/i,
    hint: "Check that the image exists for this architecture, that the subnets reach its registry, and that the execution role may pull it.",
  },
  {
    failure: "configuration",
    says: /ResourceInitializationError/i,
    hint: "Check that the subnets reach ECR and CloudWatch Logs, and the policy of the execution role.",
  },
];

const codes: Readonly<Record<string, FargateMeaning>> = {
  ...all("configuration", [
    "AccessDeniedException",
    "BlockedException",
    "ClientException",
    "ClusterNotFoundException",
    "InvalidParameterException",
    "PlatformTaskDefinitionIncompatibilityException",
    "PlatformUnknownException",
    "UnsupportedFeatureException",
    "AttributeLimitExceededException",
  ]),
  ...all("quota", ["LimitExceededException"]),
  ...all("throttle", ["ThrottlingException", "Throttling", "RequestLimitExceeded"]),
  ...all("transient", ["ServerException", "InternalFailure", "ServiceUnavailable"]),
};

/** A call that ECS refused. Of an unknown code nothing is known: it may pass, and it buys nothing dearer. */
export function meaningOfEcsCode(code: string, message = ""): FargateMeaning {
  const { failure, hint } = sentences.find(({ says }) => says.test(message)) ?? {
    failure: "transient" as const,
    ...(Object.hasOwn(codes, code) && codes[code]),
  };
  return { failure, ...(hint !== undefined && { hint }) };
}

/**
 * What may pass by itself speaks first, so that nothing dearer is bought on its account; a mistake speaks last.
 */
const precedence: readonly LaunchFailureKind[] = [
  "throttle",
  "transient",
  "quota",
  "capacity",
  "configuration",
];

const failureCodes: Readonly<Record<LaunchFailureKind, string>> = {
  throttle: "FARGATE_THROTTLED",
  transient: "FARGATE_LAUNCH_FAILED",
  quota: "FARGATE_QUOTA",
  capacity: "FARGATE_NO_CAPACITY",
  configuration: "FARGATE_LAUNCH_INVALID",
};

/** Why tasks are missing from an answer that was a success. Undefined: nothing was said. */
export function meaningOfRunTaskFailure(
  failures: readonly { readonly reason?: string; readonly detail?: string }[],
): (FargateMeaning & { readonly code: string; readonly said: string }) | undefined {
  const [first] = failures
    .map(({ reason = "", detail = "" }) => {
      const said = sentence([reason, detail].filter(Boolean).join(": "));
      return { ...meaningOfEcsCode("", said), said };
    })
    .sort((left, right) => precedence.indexOf(left.failure) - precedence.indexOf(right.failure));
  return first === undefined ? undefined : { ...first, code: failureCodes[first.failure] };
}

// ------------------------------------------------------------------------------------------------------ ends

/** What ECS says of the end of a task, in its description and in its events. */
export interface StoppedTask {
  readonly stopCode?: string;
  readonly stoppedReason?: string;
  readonly containers?: readonly { readonly reason?: string; readonly exitCode?: number }[];
}

/**
 * Its capacity was taken back, or it was never given what RunTask had promised. `TerminationNotice` is the older
 * spelling of `SpotInterruption`.
 */
export function wasTaskTakenBack(task: StoppedTask): boolean {
  const { stopCode, stoppedReason = "" } = task;
  if (stopCode === "TaskFailedToStart") return meaningOfEcsCode("", stoppedReason).failure === "capacity";
  return (
    stopCode === "SpotInterruption" ||
    stopCode === "TerminationNotice" ||
    /spot (task|interrupt)/i.test(stoppedReason)
  );
}

/** Why a task stopped, as a sentence; undefined where it ended as machines end: by itself, or by us. */
export function whyTaskStopped(task: StoppedTask): string | undefined {
  const { stopCode = "", stoppedReason = "", containers = [] } = task;
  if (stopCode !== "TaskFailedToStart" && wasTaskTakenBack(task))
    return "Fargate took the spot capacity back.";
  const reasons = containers.map(({ reason = "" }) => reason).filter(Boolean);
  const isOrdinary =
    stopCode === "UserInitiated" || (stopCode === "EssentialContainerExited" && reasons.length === 0);
  if (isOrdinary || (stopCode === "" && stoppedReason === "")) return undefined;
  // What the container says is more precise than that it ended.
  const said = [...(stopCode === "EssentialContainerExited" ? [] : [stoppedReason]), ...reasons];
  const [words = stoppedReason] = said.filter(Boolean);
  const hint = /OutOfMemory/i.test(words)
    ? "The job used more memory than the task has; choose a larger class."
    : sentences.find(({ says }) => says.test(words))?.hint;
  return [`ECS stopped the task (${stopCode || "no code"}): ${sentence(words)}`, hint]
    .filter(Boolean)
    .join(" ");
}

function sentence(text: string): string {
  const said = text.replace(/\s+/g, " ").trim().slice(0, 500).replace(/\.?$/, ".");
  return said.charAt(0).toUpperCase() + said.slice(1);
}

function all(failure: LaunchFailureKind, names: readonly string[]): Record<string, FargateMeaning> {
  return Object.fromEntries(names.map((name) => [name, { failure }]));
}
