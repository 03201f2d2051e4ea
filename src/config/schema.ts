import { z } from "zod";
import { classLimits, className } from "./classes.ts";

/*
 * The one table of settings. From it come validation, defaults, the types, the names of environment variables
 * (settings.ts), the JSON Schema and the reference page. The description of a setting is its documentation.
 */

const count = z.int().min(0).max(1_000_000);
const duration = z.number().positive().max(10_000_000);
const size = z.number().positive().max(1_000_000);
const text = z.string().min(1).max(1024);
const httpUrl = z.url({ protocol: /^https?$/, hostname: /.+/ }).max(1024);

/** A group of settings that may be left out as a whole, because each of them has a default or is optional. */
function group<Shape extends z.ZodRawShape>(description: string, shape: Shape) {
  return z
    .strictObject(shape)
    .prefault({} as never)
    .meta({ description });
}

const secretReference = (description: string) =>
  z
    .strictObject({
      file: text
        .optional()
        .meta({ description: "The file that contains it, relative to the folder of this document." }),
      environment: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
        .optional()
        .meta({ description: "The environment variable that contains it." }),
    })
    .meta({ description });

/** How machines are bought; the second three are how others spell it. */
const market = z.enum([
  ...["spot-only", "spot-preferred", "on-demand-only"],
  ...["spotOnly", "spotPreferred", "onDemandOnly"],
] as const);

const subnets = z.record(
  z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d[a-z]$/),
  z.string().regex(/^subnet-[0-9a-f]{8,17}$/),
);

/** The sizes that other systems start with, so that their workflows are served as they are. */
const usualClasses = {
  small: { cpu: 512, memory: 1024 },
  medium: { cpu: 1024, memory: 2048 },
  large: { cpu: 2048, memory: 4096 },
};

/** Scripts of infra/images/scripts that an image can do without. */
const toolScripts = [
  ...(["docker", "python", "node", "go", "aws-cli", "kubectl"] as const),
  ...(["helm", "gh", "yq", "git-lfs", "yamllint"] as const),
] as const;

const image = z
  .union([
    text,
    z.strictObject({ pipeline: text }),
    z.strictObject({ id: text }),
    z.strictObject({ ssm: text }),
    z.strictObject({
      name: text,
      owner: z
        .string()
        .regex(/^(self|amazon|\d{12})$/)
        .default("self"),
    }),
  ])
  .meta({
    description:
      "The image to start machines from: a reference, or one of `{ pipeline: name }`, `{ id: ami-… }`, `{ ssm: /parameter }`, `{ name: pattern, owner: self }`. Of a pipeline and of a name it is the newest.",
  });

const pipelines = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/),
    z.strictObject({
      system: z.enum(["amazon-linux-2023", "ubuntu-24.04"]).default("amazon-linux-2023").meta({
        description: "What the image is made of: the newest one of this system at the time of each build.",
      }),
      diskGib: z
        .int()
        .min(10)
        .max(16_384)
        .default(30)
        .meta({ description: "The disk of the image, in GiB. Machines may have a larger one." }),
      dockerImages: z
        .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9./:@_-]{0,255}$/))
        .max(50)
        .default([])
        .meta({ description: "Container images that are pulled already, so that jobs find them there." }),
      without: z
        .array(z.enum(toolScripts))
        .default([])
        .meta({ description: "Tools that the image does not have." }),
    }),
  )
  .default({})
  .meta({
    description:
      "Images for machines on EC2 that EC2 Image Builder makes, by name. A preset with `image: { pipeline: <name> }` waits for its image, and gets a new one each week and with each new runner. Where the name is not here, its newest image is taken that others have made.",
  });

const github = z
  .strictObject({
    server: httpUrl.default("https://github.com").meta({
      description: "The GitHub server: github.com, a `*.ghe.com` address or a GitHub Enterprise Server.",
    }),
    apiUrl: httpUrl.optional().meta({
      description: "The REST API, where it is not at the place that follows from `server`.",
    }),
    appId: z
      .union([z.int().positive(), z.string().regex(/^Iv[A-Za-z0-9.]{8,60}$/)])
      .meta({ description: "The id of the GitHub App, or its client id." }),
    scope: z.enum(["organization", "repository"]).default("organization").meta({
      description:
        "Where runners are registered. `repository` needs the broad permission administration: write.",
    }),
  })
  .meta({ description: "The GitHub App through which Mayfly works." });

const server = group("The process `mayfly serve`.", {
  listen: z
    .string()
    .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/)
    .default("127.0.0.1:8085")
    .meta({ description: "Host and port to listen on, for example `0.0.0.0:8085` or `[::1]:8085`." }),
  publicUrl: httpUrl.optional().meta({
    description: "The address under which machines reach this server. Without it, the address listened on.",
  }),
  dataDirectory: text.default(".mayfly").meta({
    description:
      "Where the database, the key of the machines and their folders are kept, relative to the folder of this document. A service usually has `/var/lib/mayfly`.",
  }),
  logLevel: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .meta({ description: "The least important kind of log line that is written." }),
});

const secrets = group(
  "Where a box keeps secrets. They are never in this document. On AWS they are in Secrets Manager, and this is left out.",
  {
    webhookSecret: secretReference(
      "The secret with which GitHub signs deliveries. Several lines are several secrets, the newest first: for rotation.",
    ).optional(),
    appPrivateKey: secretReference("The private key of the App, a PEM file as GitHub gives it.").optional(),
    statusToken: secretReference(
      "The token for reading the status page and the API. Needed when the server listens on more than loopback.",
    ).optional(),
  },
);

const preset = z
  .strictObject({
    labels: z
      .array(z.string().min(1).max(256))
      .max(98)
      .default([])
      .meta({ description: "Labels that a job may ask for, beside `self-hosted` and `mayfly/<preset>`." }),
    system: z
      .enum(["linux", "windows", "macos"])
      .default("linux")
      .meta({ description: "The operating system of the machines." }),
    architecture: z.enum(["x86_64", "arm64"]).meta({ description: "The processor of the machines." }),
    compute: z.enum(["local", "docker", "ec2", "fargate"]).meta({
      description:
        "Where machines run: `local` processes or `docker` containers on this box, or on AWS as `ec2` instances or `fargate` tasks.",
    }),
    instanceTypes: z.array(text).max(100).default([]).meta({
      description: "Machine types of the cloud, the preferred first. Empty: chosen from cpu and ram.",
    }),
    market: market.optional().meta({
      description:
        "How machines are bought. Default: `spot-preferred`; `on-demand-only` on a box. `spotOnly` and so on mean the same.",
    }),
    image: image.optional(),
    cpu: size.optional().meta({ description: "Processors of one machine (vCPU)." }),
    ram: size.optional().meta({ description: "Memory of one machine, in GiB." }),
    diskGib: size.optional().meta({ description: "Disk of one machine, in GiB." }),
    jobTimeoutMinutes: duration.default(360).meta({
      description: "A machine is ended when its job has run for so long. GitHub's own default is 360.",
    }),
    bootTimeoutMinutes: duration
      .default(10)
      .meta({ description: "A machine that has not claimed a job within this time is replaced." }),
    idleTimeoutMinutes: duration
      .default(5)
      .meta({ description: "A registered machine that gets no job within this time is ended." }),
    max: count.default(10).meta({ description: "Machines of this preset at once." }),
    warm: count
      .default(0)
      .meta({ description: "Machines that are kept ready for the next job, not yet registered." }),
    runnerGroup: text.default("default").meta({ description: "The runner group, by name." }),
    pricePerHourUsd: z.number().min(0).max(10_000).default(0).meta({
      description: "What one machine costs an hour in US dollars, for the budget and the cost report.",
    }),
    local: z
      .strictObject({
        runnerDirectory: text.optional().meta({
          description:
            "The unpacked GitHub runner, copied for each machine; relative to the folder of this document.",
        }),
        user: text.optional().meta({ description: "The user that runs jobs. Needs root to change to." }),
      })
      .optional()
      .meta({ description: "Only with `compute: local`." }),
    docker: z
      .strictObject({
        image: text
          .optional()
          .meta({ description: "The container image; the same as `image` of the preset." }),
        network: text.optional().meta({ description: "The container network. Default: the engine's own." }),
        user: text.optional().meta({ description: "The user inside the container. Default: the image's." }),
        runnerDirectory: text.optional().meta({ description: "Where the image has the GitHub runner." }),
      })
      .optional()
      .meta({ description: "Only with `compute: docker`." }),
    ec2: z
      .strictObject({
        launchTemplate: text.optional().meta({
          description:
            "The launch template, by id or name. Default: the one that the infrastructure makes for this preset.",
        }),
        subnets: subnets.optional().meta({
          description:
            "One subnet for each availability zone, by the zone's name. Default: those of the infrastructure.",
        }),
      })
      .optional()
      .meta({
        description:
          "Only with `compute: ec2`. Region, role, security groups and user data belong to the infrastructure and its launch templates.",
      }),
    fargate: z
      .strictObject({
        subnets: z
          .array(z.string().regex(/^subnet-[0-9a-f]{8,17}$/))
          .min(1)
          .max(16)
          .optional()
          .meta({ description: "Where tasks get their addresses. Default: those of the infrastructure." }),
        buildImages: z.boolean().default(false).meta({
          description:
            "Whether images are built with the runner in them before the first task starts from them. Without it, a task whose image has no runner installs it at its start, which takes a minute or two.",
        }),
        shell: z.boolean().default(false).meta({
          description:
            "Whether ECS Exec may open a shell in the task. Who may call it can read what jobs do.",
        }),
      })
      .optional()
      .meta({
        description:
          "Only with `compute: fargate`. Cluster, roles, security groups and logs belong to the infrastructure.",
      }),
  })
  .meta({ description: "A kind of runner. The first preset that offers all labels of a job is taken." });

const presets = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/), preset)
  .meta({ description: "The kinds of runners, by name. Names have lower-case letters, digits and dashes." });

const labels = group("Labels that workflows have already, from other systems.", {
  mappings: z
    .array(
      z.strictObject({
        label: z.string().min(1).max(256).meta({ description: "The label of the job." }),
        instanceTypes: z
          .array(text)
          .max(100)
          .optional()
          .meta({ description: "The machine types it asks for." }),
        instanceType: text.optional().meta({ description: "One machine type; the same as a list of one." }),
        instance_types: z
          .array(text)
          .max(100)
          .optional()
          .meta({ description: "The same as `instanceTypes`." }),
        instance_type: text.optional().meta({ description: "The same as `instanceType`." }),
        market: market.optional().meta({ description: "How its machines are bought." }),
        image: text.optional().meta({ description: "The image it asks for." }),
        ami: text.optional().meta({ description: "The same as `image`." }),
        preset: text.optional().meta({ description: "The preset that gives everything else." }),
      }),
    )
    .default([])
    .meta({ description: "What a single label stands for." }),
  classes: z
    .record(
      z.string().regex(className),
      z.strictObject({
        cpu: z
          .int()
          .min(classLimits.cpu.min)
          .max(classLimits.cpu.max)
          .meta({ description: "Processors: 1024 units are one vCPU." }),
        memory: z
          .int()
          .min(classLimits.memory.min)
          .max(classLimits.memory.max)
          .meta({ description: "Memory, in MiB." }),
      }),
    )
    .default(usualClasses)
    .meta({ description: "Sizes that a job names with `class:<name>`. Naming any replaces all of these." }),
  classesParameter: z
    .string()
    .regex(/^\/?[\w.-]+(\/[\w.-]+)*$/)
    .max(1011)
    .optional()
    .meta({
      description:
        "On AWS: the parameter of SSM Parameter Store that has `classes` as JSON, in place of those here. The functions may read `/<deployment>/classes`.",
    }),
});

const timing = group("Time limits that hold for every preset.", {
  jobDeadlineMinutes: duration.default(1380).meta({
    description:
      "A queued job that could not be served for so long is given up visibly. GitHub waits 24 hours.",
  }),
  launchRetrySeconds: duration
    .default(15)
    .meta({ description: "A launch without an answer is asked for again after this time." }),
  launchLimitSeconds: duration.default(300).meta({
    description: "A launch without an answer, and of which nothing exists, has failed after this time.",
  }),
  idleGraceSeconds: duration
    .default(60)
    .meta({ description: "A registered machine that nobody needs is kept so long for the next job." }),
  capacityBackoffSeconds: duration.default(30).meta({
    description: "A pool without capacity is skipped for so long; doubled with each refusal in a row.",
  }),
  capacityBackoffLimitSeconds: duration
    .default(900)
    .meta({ description: "A pool without capacity is skipped for no longer than this." }),
  listingDelaySeconds: duration
    .default(30)
    .meta({ description: "A machine that the provider does not list is believed gone after this time." }),
  jobCheckSeconds: duration.default(300).meta({
    description:
      "GitHub is asked about a job that its list of open jobs lacks, when nothing was heard of it for so long.",
  }),
  historyDays: duration
    .default(14)
    .meta({ description: "Finished jobs and ended machines are kept so long." }),
});

export const configSchema = z
  .strictObject({
    github,
    server,
    secrets,
    presets,
    docker: group("The container engine, for presets with `compute: docker`.", {
      socket: text
        .default("/var/run/docker.sock")
        .meta({ description: "The socket of the Docker Engine API. Podman answers the same API." }),
    }),
    labels,
    instanceTypes: group("Machine types that jobs may choose.", {
      allow: z.array(text).default(["*"]).meta({
        description:
          "Patterns for types as labels and for `type=<type>`; `*` stands for any characters. Empty: none.",
      }),
    }),
    images: group("Images that jobs may choose.", {
      allow: z.array(text).default([]).meta({
        description: "Patterns for `image:<reference>`; `*` stands for any characters. Empty: none.",
      }),
      deny: z.array(text).default([]).meta({
        description: "Patterns for those that are refused all the same.",
      }),
      pipelines,
    }),
    limits: group("Caps over all presets.", {
      machines: count.default(100).meta({ description: "Machines at once." }),
      perRepository: count.default(50).meta({ description: "Machines at once for jobs of one repository." }),
      dailyBudgetUsd: z.number().min(0).optional().meta({
        description: "No machine is launched once a day (UTC) has cost so much. Running jobs go on.",
      }),
    }),
    interruptions: group("When a provider takes a machine back.", {
      rerunsPerJob: z.number().int().min(0).max(10).default(2).meta({
        description:
          "How often a job that was lost with its machine is run again, when its run has ended. Needs the App's permission `actions: write`. From the second try on it gets an on-demand machine, unless the preset is `spot-only`.",
      }),
    }),
    admission: group("Whose jobs are served.", {
      repositories: z.array(text).default([]).meta({
        description:
          "Patterns of `owner/name`; `*` stands for any characters. Empty: every repository of the App.",
      }),
      publicRepositories: z.enum(["refuse", "allow"]).default("refuse").meta({
        description: "Whether public repositories are served: anyone could run code here.",
      }),
    }),
    timing,
    schedule: group("How often the regular work is done.", {
      rebalanceSeconds: duration
        .default(60)
        .meta({ description: "Demand that GitHub did not tell us about is looked for." }),
      scaledownSeconds: duration
        .default(60)
        .meta({ description: "What exists is compared with what is known, and surplus is ended." }),
    }),
  })
  .meta({ title: "mayfly.yaml", description: "The configuration of Mayfly." });

/** A valid document, with defaults filled in. */
export type ConfigDocument = z.output<typeof configSchema>;
