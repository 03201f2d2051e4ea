import { dirname, resolve } from "node:path";
import type { LabelMapping, Market, Policy, Preset } from "../core/model.ts";
import { classesOf } from "./classes.ts";
import { ec2MachineTypes } from "./ec2-machine-types.ts";
import { fargateMachineTypes } from "./fargate-sizes.ts";
import type { ConfigDocument } from "./schema.ts";

/** All that is not `Policy`: what the targets need to wire the adapters. Paths are absolute. */
export interface Config {
  /** Where the document was read. */
  readonly path: string;
  readonly github: {
    readonly server: string;
    readonly apiUrl?: string;
    readonly appId: number | string;
    readonly scope: "organization" | "repository";
  };
  readonly server: {
    readonly host: string;
    /** 0: the system chooses one. */
    readonly port: number;
    /** Without a slash at its end. Absent: the address that is listened on. */
    readonly publicUrl?: string;
    readonly dataDirectory: string;
    readonly logLevel: "debug" | "info" | "warn" | "error";
  };
  readonly secrets: {
    readonly webhookSecret?: SecretReference;
    readonly appPrivateKey?: SecretReference;
    readonly statusToken?: SecretReference;
  };
  readonly docker: { readonly socket: string };
  /** Images that EC2 Image Builder makes, by their names. */
  readonly pipelines: Readonly<Record<string, ImagePipelineSettings>>;
  /** Where a cloud has the classes that jobs may name, in place of those of the policy. */
  readonly classesParameter?: string;
  /** What the compute adapters need to know of each preset, by its name. */
  readonly compute: Readonly<Record<string, PresetCompute>>;
  readonly schedule: {
    readonly rebalanceSeconds: number;
    readonly scaledownSeconds: number;
  };
}

export interface ImagePipelineSettings {
  readonly system: "amazon-linux-2023" | "ubuntu-24.04";
  readonly diskGib: number;
  readonly dockerImages: readonly string[];
  /** Scripts of infra/images/scripts that are left out. */
  readonly without: readonly string[];
}

/** Where a secret is kept; never the secret. */
type SecretReference = { readonly file: string } | { readonly environment: string };

interface PresetCompute {
  readonly compute: "local" | "docker" | "ec2" | "fargate";
  readonly local: { readonly runnerDirectory?: string; readonly user?: string };
  readonly docker: {
    readonly network?: string;
    readonly user?: string;
    readonly runnerDirectory?: string;
  };
  readonly ec2: {
    readonly launchTemplate?: string;
    /** By zone. */
    readonly subnets?: Readonly<Record<string, string>>;
  };
  readonly fargate: { readonly subnets?: readonly string[]; readonly shell?: boolean };
}

/** A valid document in the terms of the core and of the targets: units converted, paths made absolute. */
export function interpret(document: ConfigDocument, path: string): { config: Config; policy: Policy } {
  return { config: configOf(document, path), policy: policyOf(document) };
}

function configOf(document: ConfigDocument, path: string): Config {
  const folder = dirname(resolve(path));
  const { github, server, secrets, schedule } = document;
  const { host, port } = splitListen(server.listen);
  const reference = (value: NonNullable<ConfigDocument["secrets"]["webhookSecret"]>): SecretReference =>
    value.file !== undefined
      ? { file: resolve(folder, value.file) }
      : { environment: value.environment ?? "" };
  return {
    path: resolve(path),
    github: {
      server: withoutSlash(github.server),
      ...(github.apiUrl !== undefined && { apiUrl: withoutSlash(github.apiUrl) }),
      appId: github.appId,
      scope: github.scope,
    },
    server: {
      host,
      port,
      ...(server.publicUrl !== undefined && { publicUrl: withoutSlash(server.publicUrl) }),
      dataDirectory: resolve(folder, server.dataDirectory),
      logLevel: server.logLevel,
    },
    secrets: {
      ...(secrets.webhookSecret !== undefined && { webhookSecret: reference(secrets.webhookSecret) }),
      ...(secrets.appPrivateKey !== undefined && { appPrivateKey: reference(secrets.appPrivateKey) }),
      ...(secrets.statusToken !== undefined && { statusToken: reference(secrets.statusToken) }),
    },
    docker: { socket: resolve(folder, document.docker.socket) },
    pipelines: document.images.pipelines,
    ...(document.labels.classesParameter !== undefined && {
      classesParameter: document.labels.classesParameter,
    }),
    compute: Object.fromEntries(
      Object.entries(document.presets).map(([name, preset]) => [name, computeOf(preset, folder)]),
    ),
    schedule: {
      rebalanceSeconds: schedule.rebalanceSeconds,
      scaledownSeconds: schedule.scaledownSeconds,
    },
  };
}

type PresetDocument = ConfigDocument["presets"][string];

function computeOf(preset: PresetDocument, folder: string): PresetCompute {
  const { local, docker, ec2, fargate } = preset;
  return {
    compute: preset.compute,
    local: {
      ...(local?.runnerDirectory !== undefined && {
        runnerDirectory: resolve(folder, local.runnerDirectory),
      }),
      ...(local?.user !== undefined && { user: local.user }),
    },
    docker: {
      ...(docker?.network !== undefined && { network: docker.network }),
      ...(docker?.user !== undefined && { user: docker.user }),
      ...(docker?.runnerDirectory !== undefined && { runnerDirectory: docker.runnerDirectory }),
    },
    ec2: {
      ...(ec2?.launchTemplate !== undefined && { launchTemplate: ec2.launchTemplate }),
      ...(ec2?.subnets !== undefined && { subnets: ec2.subnets }),
    },
    fargate: {
      ...(fargate?.subnets !== undefined && { subnets: fargate.subnets }),
      ...(fargate?.shell === true && { shell: true }),
    },
  };
}

function policyOf(document: ConfigDocument): Policy {
  const { limits, timing } = document;
  const has = (name: string) => Object.values(document.presets).some(({ compute }) => compute === name);
  return {
    presets: Object.entries(document.presets).map(([name, preset]) =>
      presetOf(name, preset, document.images.pipelines),
    ),
    labelMappings: document.labels.mappings.map(labelMappingOf),
    machineTypes: {
      ...(has("ec2") && { ec2: ec2MachineTypes() }),
      ...(has("fargate") && { fargate: fargateMachineTypes() }),
    },
    typesAllowed: document.instanceTypes.allow,
    classes: classesOf(document.labels.classes),
    imagesAllowed: document.images.allow,
    imagesDenied: document.images.deny,
    registration: document.github.scope,
    limits: {
      machines: limits.machines,
      perRepository: limits.perRepository,
      ...(limits.dailyBudgetUsd !== undefined && { dailyBudgetUsd: limits.dailyBudgetUsd }),
    },
    rerunsPerJob: document.interruptions.rerunsPerJob,
    admission: document.admission,
    timing: {
      jobDeadlineSeconds: timing.jobDeadlineMinutes * 60,
      launchRetrySeconds: timing.launchRetrySeconds,
      launchLimitSeconds: timing.launchLimitSeconds,
      idleGraceSeconds: timing.idleGraceSeconds,
      capacityBackoffSeconds: timing.capacityBackoffSeconds,
      capacityBackoffLimitSeconds: timing.capacityBackoffLimitSeconds,
      listingDelaySeconds: timing.listingDelaySeconds,
      jobCheckSeconds: timing.jobCheckSeconds,
      historySeconds: timing.historyDays * 86_400,
    },
  };
}

type MappingDocument = ConfigDocument["labels"]["mappings"][number];

function labelMappingOf(mapping: MappingDocument): LabelMapping {
  const mappedImage = mapping.image ?? mapping.ami;
  return {
    label: mapping.label,
    instanceTypes: mappedTypes(mapping),
    ...(mapping.market !== undefined && { market: marketOf(mapping.market) }),
    ...(mappedImage !== undefined && { image: mappedImage }),
    ...(mapping.preset !== undefined && { preset: mapping.preset }),
  };
}

/** The types of a mapping, however they are spelled. */
export function mappedTypes(mapping: MappingDocument): readonly string[] {
  const one = mapping.instanceType ?? mapping.instance_type;
  return mapping.instanceTypes ?? mapping.instance_types ?? (one === undefined ? [] : [one]);
}

/** `spotOnly` is `spot-only`. */
function marketOf(spelled: NonNullable<PresetDocument["market"]>): Market {
  return spelled.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`) as Market;
}

function presetOf(
  name: string,
  preset: PresetDocument,
  pipelines: ConfigDocument["images"]["pipelines"],
): Preset {
  const onThisBox = preset.compute === "local" || preset.compute === "docker";
  const image = imageReference(preset.image) ?? preset.docker?.image;
  const builds =
    (preset.compute === "fargate" && preset.fargate?.buildImages === true) ||
    (preset.compute === "ec2" && pipelines[/^pipeline:(.*)$/.exec(image ?? "")?.[1] ?? ""] !== undefined);
  return {
    name,
    operatingSystem: preset.system,
    architecture: preset.architecture,
    labels: preset.labels,
    compute: preset.compute,
    market: marketOf(preset.market ?? (onThisBox ? "on-demand-only" : "spot-preferred")),
    instanceTypes: preset.instanceTypes,
    ...(preset.cpu !== undefined && { cpu: preset.cpu }),
    ...(preset.ram !== undefined && { memoryGib: preset.ram }),
    ...(preset.diskGib !== undefined && { diskGib: preset.diskGib }),
    ...(image !== undefined && { image }),
    ...kinds[preset.compute],
    ...(builds && { buildsImages: true }),
    max: preset.max,
    warm: preset.warm,
    runnerGroup: preset.runnerGroup,
    jobTimeoutSeconds: preset.jobTimeoutMinutes * 60,
    bootTimeoutSeconds: preset.bootTimeoutMinutes * 60,
    idleTimeoutSeconds: preset.idleTimeoutMinutes * 60,
    pricePerHourUsd: preset.pricePerHourUsd,
  };
}

const withoutDocker =
  "Tasks of Fargate have no Docker: steps of a job that use it, `container:` and `services:` fail.";

const kinds: Readonly<Record<PresetDocument["compute"], Pick<Preset, "imageKind" | "limitation">>> = {
  local: {},
  docker: { imageKind: "container" },
  ec2: { imageKind: "machine" },
  fargate: { imageKind: "container", limitation: withoutDocker },
};

/** One text for all ways to name an image; the compute adapter of a cloud takes it apart again. */
function imageReference(image: PresetDocument["image"]): string | undefined {
  if (image === undefined || typeof image === "string") return image;
  if ("id" in image) return image.id;
  if ("name" in image) return `name:${image.owner}/${image.name}`;
  return "ssm" in image ? `ssm:${image.ssm}` : `pipeline:${image.pipeline}`;
}

/** The host without the brackets of IPv6, and the port. */
export function splitListen(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(":");
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(listen.slice(colon + 1)) };
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
