import { createHash } from "node:crypto";
import type { FleetSpec, LaunchFailureKind, Purchase } from "../../core/model.ts";
import type { LaunchRequest } from "../../ports/compute.ts";
import type { TaskDefinition } from "./fargate-definitions.ts";
import { type EcsTag, ourTags } from "./fargate-tags.ts";

/** What the tasks of a deployment have in common. */
export interface TaskShape {
  /** Two deployments in one account and region need different names, or each would end the other's machines. */
  readonly deployment: string;
  /** Name or ARN. It has the capacity providers FARGATE and FARGATE_SPOT. */
  readonly cluster: string;
  readonly region: string;
  /** Where tasks get their addresses; Fargate chooses among them. */
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
  /** In a subnet without NAT a task reaches nothing without one. */
  readonly publicAddresses: boolean;
  /** The role that a task proves itself with, and that jobs cannot use. */
  readonly taskRoleArn: string;
  /** The role with which ECS pulls the image and writes the log. */
  readonly executionRoleArn: string;
  readonly logGroup: string;
  /** The shell script that a task runs, as root. Nothing in it is secret: everybody who may describe tasks sees it. */
  readonly script: string;
  /** The environment of that script; no more secret than it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Tags of tasks beside our own, for example for the allocation of costs. */
  readonly tags?: Readonly<Record<string, string>>;
  /** What is different for tasks of a preset, by its name. */
  readonly presets?: Readonly<Record<string, FargatePreset>>;
}

export interface FargatePreset {
  /** In place of those of the deployment. */
  readonly subnets?: readonly string[];
  /** ECS Exec: who may call it gets a shell in the task. */
  readonly shell?: boolean;
}

export interface TaskPlan {
  readonly family: string;
  readonly definition: TaskDefinition;
  readonly pool: string;
  /** RunTask, but for the count and the client token. */
  readonly input: Readonly<Record<string, unknown>>;
}

export interface TaskRefusal {
  readonly failure: LaunchFailureKind;
  readonly code: string;
  readonly message: string;
  readonly pools?: readonly string[];
}

/** Fargate's limits of the disk of a task; 20 GiB come with it. */
const diskGib = { included: 20, most: 200 };

/** After SIGTERM a task is killed; Fargate allows no more. The agent needs 110 of them at most. */
const stopTimeoutSeconds = 120;

/** A pool is a size on a market; in which zone a task lands is Fargate's own choice. */
function poolName(type: string, purchase: Purchase): string {
  return `${type}/${purchase}`;
}

/** What to ask of ECS for this launch, or why it is not asked at all. */
export function planTasks(shape: TaskShape, request: LaunchRequest): TaskPlan | TaskRefusal {
  const { spec, purchase, attempt } = request;
  const [type = ""] = spec.instanceTypes;
  const size = sizeOf(type);
  const mistake = mistakeOf(spec, size);
  if (mistake !== undefined) return mistake;
  const pool = poolName(type, purchase);
  // What an earlier call has launched is only learnt by asking again.
  if (attempt === 1 && request.avoidPools.includes(pool)) {
    const message = `The pool ${pool} refused a short while ago.`;
    return { failure: "capacity", code: "ALL_POOLS_AVOIDED", message, pools: [] };
  }
  const definition = definitionOf(shape, spec, size);
  return { family: definition.family, definition, pool, input: inputOf(shape, request, definition.family) };
}

interface TaskSize {
  /** 1024 are one vCPU. */
  readonly cpuUnits: number;
  readonly memoryMib: number;
  readonly architecture: FleetSpec["architecture"];
}

/** Sizes are named by us, as Fargate has no names for them: `fargate-1024-2048`, `fargate-arm64-1024-2048`. */
function sizeOf(type: string): TaskSize {
  const [, arm, cpu, memory] = /^fargate(-arm64)?-(\d+)-(\d+)$/.exec(type) ?? [];
  return {
    cpuUnits: Number(cpu ?? 0),
    memoryMib: Number(memory ?? 0),
    architecture: arm === undefined ? "x86_64" : "arm64",
  };
}

function mistakeOf(spec: FleetSpec, size: TaskSize): TaskRefusal | undefined {
  const refuse = (code: string, message: string): TaskRefusal => ({
    failure: "configuration",
    code,
    message,
  });
  const { preset, operatingSystem, architecture, image, instanceTypes } = spec;
  if (operatingSystem !== "linux") {
    return refuse("WRONG_SYSTEM", `Machines on Fargate run Linux here, not ${operatingSystem}.`);
  }
  if (size.cpuUnits === 0) {
    const named = instanceTypes[0] === undefined ? "no size" : `the size ${instanceTypes[0]}`;
    return refuse("FARGATE_SIZE_UNKNOWN", `The preset ${preset} names ${named}, which no Fargate task has.`);
  }
  if (size.architecture !== architecture) {
    return refuse("WRONG_ARCHITECTURE", `${instanceTypes[0]} has another processor than ${architecture}.`);
  }
  if (image === undefined) {
    return refuse("NO_IMAGE", `The preset ${preset} names no image, and neither does the job.`);
  }
  if (spec.diskGib !== undefined && spec.diskGib > diskGib.most) {
    const message = `A Fargate task has a disk of ${diskGib.most} GiB at most, and ${spec.diskGib} are asked for.`;
    return refuse("FARGATE_DISK_TOO_LARGE", message);
  }
  return undefined;
}

/**
 * A task definition is named after its content: a change of image, size, role, log or script is another definition, and
 * the same content is registered once.
 */
function definitionOf(shape: TaskShape, spec: FleetSpec, size: TaskSize): TaskDefinition {
  const { image = "", bootTimeoutSeconds } = spec;
  const content = {
    requiresCompatibilities: ["FARGATE"],
    networkMode: "awsvpc",
    cpu: String(size.cpuUnits),
    memory: String(size.memoryMib),
    runtimePlatform: {
      cpuArchitecture: size.architecture === "arm64" ? "ARM64" : "X86_64",
      operatingSystemFamily: "LINUX",
    },
    ...((spec.diskGib ?? 0) > diskGib.included && {
      ephemeralStorage: { sizeInGiB: Math.ceil(spec.diskGib ?? 0) },
    }),
    taskRoleArn: shape.taskRoleArn,
    executionRoleArn: shape.executionRoleArn,
    containerDefinitions: [
      {
        name: "runner",
        image,
        essential: true,
        cpu: size.cpuUnits,
        memory: size.memoryMib,
        // The image may name another; the agent gives the job an account of its own.
        user: "0",
        entryPoint: ["/bin/sh", "-c"],
        command: [shape.script],
        environment: Object.entries({
          ...shape.environment,
          MAYFLY_BOOT_TIMEOUT_SECONDS: String(bootTimeoutSeconds),
        }).map(([name, value]) => ({ name, value })),
        stopTimeout: stopTimeoutSeconds,
        logConfiguration: {
          logDriver: "awslogs",
          options: {
            "awslogs-group": shape.logGroup,
            "awslogs-region": shape.region,
            "awslogs-stream-prefix": "task",
          },
        },
      },
    ],
    tags: tagList({ ...shape.tags, ...ourTags({ deployment: shape.deployment }) }),
  };
  const hash = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 24);
  return { ...content, family: `mayfly-${shape.deployment}-${hash}` };
}

function inputOf(
  shape: TaskShape,
  request: LaunchRequest,
  family: string,
): Readonly<Record<string, unknown>> {
  const { spec, purchase, token, machines, repository } = request;
  const preset = shape.presets?.[spec.preset];
  const only = machines.length === 1 ? machines[0]?.id : undefined;
  const ours = ourTags({
    deployment: shape.deployment,
    fleet: request.fleet,
    preset: spec.preset,
    launch: token,
    // Not what it is found by: tasks of one launch bear the same tags.
    ...(only !== undefined && { machine: only }),
    ...(repository !== undefined && { repository }),
  });
  return {
    cluster: shape.cluster,
    taskDefinition: family,
    startedBy: token,
    capacityProviderStrategy: [
      { capacityProvider: purchase === "spot" ? "FARGATE_SPOT" : "FARGATE", weight: 1 },
    ],
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: preset?.subnets ?? shape.subnets,
        securityGroups: shape.securityGroups,
        assignPublicIp: shape.publicAddresses ? "ENABLED" : "DISABLED",
      },
    },
    enableExecuteCommand: preset?.shell === true,
    // Ours come last: a tag of the config must not hide a task from its sweep.
    tags: tagList({ ...shape.tags, ...ours }),
  };
}

function tagList(tags: Readonly<Record<string, string>>): readonly EcsTag[] {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}
