import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callJson } from "../../src/adapters/aws/json.ts";
import { itemsAt, tagsOf as tagsIn, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import type { EcsTag } from "../../src/adapters/compute/fargate-tags.ts";
import { ledgerTable } from "../../src/adapters/store/dynamodb-table.ts";
import { writeFunctions } from "../../src/cli/aws-package.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { SecretName } from "../../src/ports/secrets.ts";
import {
  type FunctionName,
  functions,
  type QueueName,
  queueNames,
  queues,
} from "../../src/targets/aws/functions.ts";
import {
  type AwsPermission,
  fargatePermissions,
  type PolicyPlace,
  permissions,
  policyOf,
} from "../../src/targets/aws/permissions.ts";
import { bundleFunctions } from "../../tools/bundle-functions.ts";
import { type StandInKey, standInClient } from "./aws-environment.ts";
import {
  type AwsCall,
  type AwsFaultProxy,
  accessDenied,
  type Reply,
  startAwsFaultProxy,
} from "./aws-fault-proxy.ts";
import { asParameters, callEc2, linuxImage } from "./ec2-stand-in.ts";
import { callEcs } from "./ecs-stand-in.ts";
import { type Demand, demandsOf, isAllowed, type JudgePlace } from "./iam-judge.ts";
import { type LambdaHost, type LambdaHostOptions, startLambdaHost } from "./lambda-host.ts";
import {
  type HttpFrontRoute,
  type Running,
  type Signer,
  startHttpFront,
  startPoller,
  startSchedule,
} from "./lambda-triggers.ts";
import { type TemplateChoice, type TemplateParts, templateParts } from "./template-parts.ts";

export interface AwsDeploymentOptions {
  /** Address of moto. */
  readonly moto: string;
  readonly configPath: string;
  readonly secrets: Readonly<Record<"webhook-secret" | "app-private-key" | "status-token", string>>;
  /** In place of the schedules in `functions`. */
  readonly everySeconds?: Partial<Record<FunctionName, number>>;
  readonly timeoutSeconds?: LambdaHostOptions["timeoutSeconds"];
  readonly environment?: Readonly<Record<string, string>>;
  /** Names, environment, permissions and triggers are those of the template, and not those that the code declares. */
  readonly template?: {
    readonly parameters: Readonly<Record<string, string>>;
    readonly change?: TemplateChoice["change"];
  };
  /** Whether a request to this path of the HTTP API is lost on its way. */
  readonly loses?: (path: string) => boolean;
  /** With what each function signs, and the test itself. moto takes any, unless its own enforcement is on. */
  readonly keys?: Readonly<Record<FunctionName | "test", StandInKey>>;
}

/** All of Mayfly on AWS, on stand-ins: the built functions under a Lambda host, and everything else on moto. */
export interface AwsDeployment {
  readonly name: string;
  /** Of the HTTP API. */
  readonly url: string;
  readonly host: LambdaHost;
  /** Between the functions and moto: counts their calls, and makes faults. */
  readonly proxy: AwsFaultProxy;
  /** What each function may do. The proxy refuses everything else; a test may take something away. */
  readonly granted: Map<FunctionName, readonly AwsPermission[]>;
  /** What the functions needed, and which of their permissions allow it: none where they were refused. */
  readonly demands: readonly JudgedDemand[];
  readonly policyPlace: PolicyPlace;
  /** Of the instances, as the infrastructure calls it. */
  readonly machineRoleName: string;
  /** Another host for the same functions, which are all cold. */
  openHost(): LambdaHost;
  /** Past the proxy: what the test itself asks for is not counted. */
  readonly client: AwsClient;
  readonly queueUrls: Readonly<Record<QueueName, string>>;
  /** Who may sign requests, by access key; a test adds to it. */
  readonly signers: Map<string, Signer>;
  /** Queues and schedules begin to start functions. */
  startTriggers(): void;
  /** Into the queue, as EventBridge does it. */
  sendEvent(queue: QueueName, body: unknown): Promise<void>;
  stop(): Promise<void>;
}

export interface JudgedDemand extends Demand {
  readonly name: FunctionName;
  readonly allowed: boolean;
  /** Which of the declared permissions; with a template there are none. */
  readonly allowedBy: readonly AwsPermission[];
}

const region = "eu-west-1";
const account = "123456789012";
const declaredMachineRole = "mayfly-machine";
let deployments = 0;

export async function deployOnStandIns(options: AwsDeploymentOptions): Promise<AwsDeployment> {
  deployments += 1;
  const name = `mayfly-${process.pid}-${deployments}`;
  const folder = await mkdtemp(join(tmpdir(), "mayfly-aws-"));
  const client = standInClient(options.moto, options.keys?.test);
  const call = <Answer>(service: "dynamodb" | "sqs" | "secretsmanager", action: string, input: object) =>
    callJson<Answer>(client, { service, action, resource: "the stand-in", input: { ...input } });

  const secretArns: Record<string, string> = {};
  for (const [secret, SecretString] of Object.entries(options.secrets)) {
    const input = { Name: `${name}/${secret}`, SecretString };
    const { ARN } = await call<{ readonly ARN: string }>("secretsmanager", "CreateSecret", input);
    secretArns[secret] = ARN;
  }
  const given = options.template && (await givenTo(client, name, secretArns, options.template.parameters));
  const choice = given && { given, ...(options.template?.change && { change: options.template.change }) };
  const parts = choice && templateParts(choice);
  const court = createCourt(name, client, options, parts);
  const proxy = await startAwsFaultProxy(options.moto, { judge: court.judge });
  await call("dynamodb", "CreateTable", parts?.table ?? ledgerTable(name));
  const queueUrls = await createQueues(parts?.queues ?? declaredQueues(name), name, call);
  await bundleFunctions(join(folder, "bundles"));
  const packaged = join(folder, "functions");
  const loaded = await loadConfig({ path: options.configPath, environment: {} });
  await writeFunctions(loaded, {
    bundlesFolder: join(folder, "bundles"),
    folder: packaged,
    version: "0.0.0",
  });

  const openHost = (): LambdaHost =>
    startLambdaHost({
      folder: packaged,
      functions: parts?.functions ?? functions,
      environment: { AWS_REGION: region, AWS_ENDPOINT_URL: proxy.url, ...options.environment },
      ownEnvironment: (each) => {
        const { accessKeyId, secretAccessKey } = keyOf(each, options);
        const declared = parts?.variables[each] ?? variablesOf(name, queueUrls);
        const key = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
        return { ...declared, ...options.environment, ...key };
      },
      ...(options.timeoutSeconds !== undefined && { timeoutSeconds: options.timeoutSeconds }),
    });
  const host = openHost();
  const signers = new Map<string, Signer>();
  const front = await startHttpFront({
    host,
    routes: parts?.routes ?? httpRoutes(),
    region,
    signers: () => Object.fromEntries(signers),
    ...(parts !== undefined && { allows: (method, path) => machineMay(parts, method, path) }),
    ...(options.loses !== undefined && { loses: options.loses }),
  });
  if (choice !== undefined) {
    const atThisAddress = { ...choice.given, "Api.ApiEndpoint": front.url };
    await createLaunchTemplates(client, templateParts({ ...choice, given: atThisAddress }));
  }
  const triggers: Running[] = [];
  const machineRoleArn = parts?.machineRoleArn ?? court.place.machineRoleArns[0] ?? "";
  return {
    ...{ machineRoleName: machineRoleArn.split("/").at(-1) ?? "" },
    ...{ name, url: front.url, host, openHost, proxy, client, queueUrls, signers },
    ...{ granted: court.granted, demands: court.demands, policyPlace: court.place },
    startTriggers: () => triggers.push(...startTriggers({ host, client, queueUrls, parts }, options)),
    async sendEvent(queue, body) {
      if (parts?.sends(body, queue) === false) throw new Error(`No rule sends it: ${JSON.stringify(body)}.`);
      const input = { QueueUrl: queueUrls[queue], MessageBody: JSON.stringify(body) };
      await call("sqs", "SendMessage", input);
    },
    async stop() {
      const stopping = Promise.all([front, ...triggers].map((running) => running.stop()));
      await host.stop();
      await stopping;
      await proxy.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What CloudFormation is given, and what only AWS knows of what it made. */
async function givenTo(
  client: AwsClient,
  Deployment: string,
  secretArns: Readonly<Record<string, string>>,
  parameters: Readonly<Record<string, string>>,
): Promise<TemplateChoice["given"]> {
  const vpcs = itemsAt(await callEc2(client, "DescribeVpcs", {}), "vpcSet");
  const VpcId = textAt(vpcs[0] ?? {}, "vpcId") ?? "";
  const names = { GroupName: `${Deployment}-machine`, GroupDescription: "machines" };
  const group = await callEc2(client, "CreateSecurityGroup", { ...names, VpcId });
  const amazonLinux = await linuxImage(client);
  return {
    ...{ Deployment, CodeBucket: "code", CodePrefix: "mayfly/0.0.0", VpcId, DefaultAMI: amazonLinux },
    WebhookSecretArn: secretArns["webhook-secret"] ?? "",
    PrivateKeySecretArn: secretArns["app-private-key"] ?? "",
    StatusTokenSecretArn: secretArns["status-token"] ?? "",
    "MachineSecurityGroup.GroupId": textAt(group, "groupId") ?? "",
    ...parameters,
  };
}

async function createLaunchTemplates(client: AwsClient, { launchTemplates }: TemplateParts): Promise<void> {
  for (const { name, data, tags } of launchTemplates) {
    await callEc2(client, "CreateLaunchTemplate", {
      LaunchTemplateName: name,
      LaunchTemplateData: asParameters(data),
      TagSpecification: [{ ResourceType: "launch-template", Tag: tags }],
    });
  }
}

async function createQueues(
  made: TemplateParts["queues"],
  deployment: string,
  call: <Answer>(service: "sqs", action: string, input: object) => Promise<Answer>,
): Promise<Readonly<Record<QueueName, string>>> {
  const urls = new Map<string, string>();
  for (const { name, attributes } of made) {
    const input = { QueueName: name, Attributes: attributes };
    urls.set(name, (await call<{ QueueUrl: string }>("sqs", "CreateQueue", input)).QueueUrl);
  }
  const names = Object.keys(queues) as QueueName[];
  return Object.fromEntries(
    names.map((name) => [name, urls.get(queueNames(deployment, name).queue) ?? ""]),
  ) as Record<QueueName, string>;
}

function declaredQueues(deployment: string): TemplateParts["queues"] {
  const declared = Object.entries(queues).map(([name, spec]) => {
    const names = queueNames(deployment, name as QueueName);
    const redrive = {
      deadLetterTargetArn: `arn:aws:sqs:${region}:${account}:${names.deadLetterQueue}`,
      maxReceiveCount: spec.attemptsLimit,
    };
    const dead = {
      name: names.deadLetterQueue,
      attributes: { MessageRetentionPeriod: String(spec.deadLetterSeconds) },
    };
    const queue = {
      name: names.queue,
      attributes: {
        VisibilityTimeout: String(spec.visibilitySeconds),
        MessageRetentionPeriod: String(spec.retentionSeconds),
        RedrivePolicy: JSON.stringify(redrive),
      },
    };
    return [dead, queue];
  });
  return declared.flat();
}

/** What every function gets where no template says it. */
function variablesOf(
  name: string,
  queueUrls: Readonly<Record<QueueName, string>>,
): Readonly<Record<string, string>> {
  return {
    MAYFLY_DEPLOYMENT: name,
    MAYFLY_TABLE: name,
    MAYFLY_SCALEUP_QUEUE_URL: queueUrls.scaleup,
    MAYFLY_SCALEDOWN_QUEUE_URL: queueUrls.scaledown,
    MAYFLY_LIFECYCLE_QUEUE_URL: queueUrls.lifecycle,
    MAYFLY_WEBHOOK_SECRET_ID: `${name}/webhook-secret`,
    MAYFLY_APP_PRIVATE_KEY_SECRET_ID: `${name}/app-private-key`,
    MAYFLY_STATUS_TOKEN_SECRET_ID: `${name}/status-token`,
    MAYFLY_MACHINE_ROLE_ARN: `arn:aws:iam::${account}:role/${declaredMachineRole}`,
    MAYFLY_SUBNETS: "{}",
  };
}

// ---------------------------------------------------------------------------------------- what is allowed

function keyOf(name: FunctionName, { keys }: AwsDeploymentOptions): StandInKey {
  return keys?.[name] ?? { accessKeyId: name, secretAccessKey: "stand-in" };
}

/** Judges every call of the functions by their policies, as IAM would. */
function createCourt(
  deployment: string,
  client: AwsClient,
  options: AwsDeploymentOptions,
  parts: TemplateParts | undefined,
) {
  const {
    MAYFLY_CLUSTER: cluster,
    MAYFLY_TASK_ROLE_ARN,
    MAYFLY_TASK_EXECUTION_ROLE_ARN,
  } = options.environment ?? {};
  const taskRoles = [MAYFLY_TASK_ROLE_ARN ?? "", MAYFLY_TASK_EXECUTION_ROLE_ARN ?? ""];
  const fargate = cluster === undefined ? undefined : { name: cluster, roleArns: taskRoles };
  const place = policyPlaceOf(deployment, fargate);
  const granted = new Map<FunctionName, readonly AwsPermission[]>(
    functions.map(({ name }) => [
      name,
      [...permissions[name], ...(fargate === undefined ? [] : (fargatePermissions[name] ?? []))],
    ]),
  );
  const demands: JudgedDemand[] = [];
  const machineRoleArn = parts?.machineRoleArn ?? place.machineRoleArns[0] ?? "";
  const tagsOf: JudgePlace["tagsOf"] = async (kind, id) => {
    if (kind === "launch-template") {
      const answer = await callEc2(client, "DescribeLaunchTemplates", { LaunchTemplateName: [id] });
      const [template = {}] = itemsAt(answer, "launchTemplates");
      return Object.fromEntries(tagsIn(template));
    }
    if (kind === "task") {
      const input = { cluster, tasks: [id], include: ["TAGS"] };
      const { tasks } = await callEcs<{ tasks: readonly { tags?: readonly EcsTag[] }[] }>(
        client,
        "DescribeTasks",
        input,
      );
      return Object.fromEntries((tasks[0]?.tags ?? []).map(({ key, value }) => [key, value]));
    }
    const input = { InstanceId: [id] };
    const [reservation = {}] = itemsAt(await callEc2(client, "DescribeInstances", input), "reservationSet");
    const [instance = {}] = itemsAt(reservation, "instancesSet");
    return Object.fromEntries(tagsIn(instance));
  };
  async function judge({ service, action, accessKeyId }: AwsCall, body: string): Promise<Reply | undefined> {
    const name = functions.find((each) => keyOf(each.name, options).accessKeyId === accessKeyId)?.name;
    if (name === undefined) return accessDenied(service, `Nobody has the key ${accessKeyId}.`);
    const needed = await demandsOf(
      { service, action, body },
      {
        ...{ region, account, machineRoleArn, tagsOf },
        ...(fargate !== undefined && { cluster: fargate }),
      },
    );
    const judged = needed.map((demand): JudgedDemand => {
      if (parts !== undefined) {
        const Statement = parts.statements.get(name) ?? [];
        const allowed = isAllowed({ Version: "2012-10-17", Statement }, demand);
        return { ...demand, name, allowed, allowedBy: [] };
      }
      const allowedBy = (granted.get(name) ?? []).filter((each) =>
        isAllowed(policyOf([each], place), demand),
      );
      return { ...demand, name, allowed: allowedBy.length > 0, allowedBy };
    });
    demands.push(...judged);
    const missing = judged.find(({ allowed }) => !allowed);
    if (missing === undefined) return undefined;
    return accessDenied(
      service,
      `${name} is not authorized to perform: ${missing.action} on ${missing.resource}`,
    );
  }
  return { place, granted, demands, judge };
}

/** By the policy of the instances' role. */
function machineMay({ statements }: TemplateParts, method: string, path: string): boolean {
  const resource = `arn:aws:execute-api:${region}:${account}:the-api/$default/${method}${path}`;
  const policy = { Version: "2012-10-17", Statement: statements.get("machine") ?? [] } as const;
  return isAllowed(policy, { action: "execute-api:Invoke", resource, context: {} });
}

function policyPlaceOf(deployment: string, fargate: JudgePlace["cluster"]): PolicyPlace {
  const arn = (service: string, resource: string): string =>
    `arn:aws:${service}:${region}:${account}:${resource}`;
  const queueArn = (name: QueueName): string => arn("sqs", queueNames(deployment, name).queue);
  const secretArn = (name: SecretName): string =>
    arn("secretsmanager", `secret:${deployment}/${name}-??????`);
  return {
    ...{ partition: "aws", region, account, deployment },
    tableArn: arn("dynamodb", `table/${deployment}`),
    queueArns: {
      scaleup: queueArn("scaleup"),
      scaledown: queueArn("scaledown"),
      lifecycle: queueArn("lifecycle"),
    },
    secretArns: {
      "webhook-secret": secretArn("webhook-secret"),
      "app-private-key": secretArn("app-private-key"),
      "status-token": secretArn("status-token"),
    },
    machineRoleArns: [`arn:aws:iam::${account}:role/${declaredMachineRole}`],
    imageParameterArns: [arn("ssm", "parameter/mayfly/*")],
    eventBusArn: arn("events", "event-bus/default"),
    classParameterArn: arn("ssm", "parameter/mayfly/classes"),
    ...(fargate !== undefined && {
      fargate: {
        clusterArn: arn("ecs", `cluster/${fargate.name}`),
        clusterName: fargate.name,
        roleArns: fargate.roleArns,
        imageProjectArn: arn("codebuild", `project/${fargate.name}`),
        imageRepositoryArn: arn("ecr", `repository/${fargate.name}`),
        imageLogArn: arn("logs", `log-group:/aws/codebuild/${fargate.name}:*`),
      },
    }),
  };
}

function httpRoutes(): readonly HttpFrontRoute[] {
  return functions.flatMap(({ name, triggers }) =>
    triggers.flatMap((trigger) =>
      trigger.kind === "http"
        ? trigger.routes.map((route) => ({ route, name, authorizer: trigger.authorizer }))
        : [],
    ),
  );
}

interface TriggerParts {
  readonly host: LambdaHost;
  readonly client: AwsClient;
  readonly queueUrls: Readonly<Record<QueueName, string>>;
  readonly parts: TemplateParts | undefined;
}

function startTriggers(
  { host, client, queueUrls, parts }: TriggerParts,
  { everySeconds }: AwsDeploymentOptions,
): readonly Running[] {
  const { pollers, schedules } = parts ?? declaredTriggers();
  return [
    ...pollers.map((poller) => {
      return startPoller({ host, client, queueUrl: queueUrls[poller.queue], ...poller });
    }),
    ...schedules.map((schedule) => {
      return startSchedule(host, schedule.name, everySeconds?.[schedule.name] ?? schedule.everySeconds);
    }),
  ];
}

function declaredTriggers(): Pick<TemplateParts, "pollers" | "schedules"> {
  const all = functions.flatMap(({ name, triggers }) => triggers.map((trigger) => ({ ...trigger, name })));
  return {
    pollers: all.filter((trigger) => trigger.kind === "queue"),
    schedules: all.filter((trigger) => trigger.kind === "schedule"),
  };
}
