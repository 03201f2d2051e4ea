import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import { launchTemplateData, launchTemplateName } from "../../src/adapters/compute/ec2-launch-template.ts";
import { packedUserData } from "../../src/targets/aws/user-data.ts";
import type { AwsDeployment } from "./aws-deployment.ts";
import { asParameters, callEc2, linuxImage } from "./ec2-stand-in.ts";
import { type FakeInstance, startFakeInstance } from "./fake-instance.ts";
import { type MetadataService, startMetadataService } from "./metadata-service.ts";

export interface Instance {
  readonly id: string;
  readonly metadata: MetadataService;
  readonly machine: FakeInstance;
  readonly lifecycle: "spot" | "on-demand";
  /** The provider takes it: a warning first, and the power some seconds later. */
  interrupt(noticeSeconds: number): Promise<void>;
  isOff: boolean;
}

/** What moto launches, run for real: each instance is a process of this host with its own user data and agent. */
export interface AwsInstances {
  readonly all: ReadonlyMap<string, Instance>;
  stop(): Promise<void>;
}

export interface AwsInstancesOptions {
  readonly deployment: AwsDeployment;
  /** The runner's listener, as a script. */
  readonly listener: string;
  /** For the agents: how long their second is. */
  readonly secondMilliseconds?: number;
}

const region = "eu-west-1";

/** Makes the launch templates that the infrastructure makes, with the real user data. */
export async function createLaunchTemplates(
  { client, name, url, machineRoleName }: AwsDeployment,
  presets: readonly string[],
): Promise<void> {
  const start = { url, region, bootTimeoutSeconds: 300, jobsMayReadMetadata: false };
  const userData = Buffer.from(packedUserData(start)).toString("base64");
  for (const preset of presets) {
    const data = launchTemplateData({
      imageId: await linuxImage(client),
      rootDeviceName: "/dev/xvda",
      diskGib: 30,
      instanceProfileArn: `arn:aws:iam::123456789012:instance-profile/${machineRoleName}`,
      securityGroupIds: [],
      userData,
    });
    await callEc2(client, "CreateLaunchTemplate", {
      LaunchTemplateName: launchTemplateName(name, preset),
      LaunchTemplateData: asParameters(data),
      // Without it, no function may launch from it.
      TagSpecification: [
        { ResourceType: "launch-template", Tag: [{ Key: "mayfly:deployment", Value: name }] },
      ],
    });
  }
}

/** Boots what runs, cuts the power of what was terminated, and tells of both as EC2 does. */
export async function startInstances(options: AwsInstancesOptions): Promise<AwsInstances> {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-instances-"));
  const all = new Map<string, Instance>();
  let stopped = false;
  const watch = async (): Promise<void> => {
    while (!stopped) {
      const alive = await listAlive(options.deployment);
      for (const { id, lifecycle } of alive) {
        if (!all.has(id)) all.set(id, await boot(options, { id, lifecycle, folder }));
      }
      const ids = new Set(alive.map(({ id }) => id));
      for (const known of all.values()) if (!known.isOff && !ids.has(known.id)) known.machine.cutPower();
      // moto looks at every instance that ever was, so it is not asked more often.
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  };
  const watching = watch();
  return {
    all,
    async stop() {
      stopped = true;
      await watching;
      for (const instance of all.values()) {
        instance.machine.cutPower();
        await instance.machine.off;
        await instance.metadata.close();
      }
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function listAlive(deployment: AwsDeployment) {
  const filter = [
    { Name: "tag:mayfly:deployment", Value: [deployment.name] },
    { Name: "instance-state-name", Value: ["pending", "running"] },
  ];
  const answer = await callEc2(deployment.client, "DescribeInstances", { Filter: filter });
  return itemsAt(answer, "reservationSet")
    .flatMap((reservation) => itemsAt(reservation, "instancesSet"))
    .map((item) => ({
      id: textAt(item, "instanceId") ?? "",
      lifecycle: textAt(item, "instanceLifecycle") === "spot" ? ("spot" as const) : ("on-demand" as const),
    }));
}

async function boot(
  { deployment, listener, secondMilliseconds }: AwsInstancesOptions,
  { id, lifecycle, folder }: { id: string; lifecycle: Instance["lifecycle"]; folder: string },
): Promise<Instance> {
  const { machineRoleName } = deployment;
  const metadata = await startMetadataService({ instanceId: id, region, role: machineRoleName });
  for (const [key, credentials] of Object.entries(metadata.credentialsByKey())) {
    const arn = `arn:aws:sts::123456789012:assumed-role/${machineRoleName}/${id}`;
    deployment.signers.set(key, { ...credentials, arn });
  }
  const root = join(folder, id);
  await mkdir(root);
  const machine = await startFakeInstance({
    userData: await userDataOf(deployment, id),
    instanceId: id,
    metadata,
    root,
    listener,
    ...(secondMilliseconds !== undefined && {
      environment: { MAYFLY_SECOND_MILLISECONDS: String(secondMilliseconds) },
    }),
  });
  await tellState(deployment, id, "running");
  const instance: Instance = {
    ...{ id, metadata, machine, lifecycle, isOff: false },
    async interrupt(noticeSeconds) {
      const at = new Date(Date.now() + noticeSeconds * 1000);
      metadata.announceInterruption(at.toISOString());
      await deployment.sendEvent("lifecycle", ec2Event("EC2 Spot Instance Interruption Warning", id, {}));
      await new Promise((resolve) => setTimeout(resolve, noticeSeconds * 1000));
      machine.cutPower();
    },
  };
  void machine.off.then(async () => {
    instance.isOff = true;
    // Whoever shuts down is terminated, as the launch template says.
    await callEc2(deployment.client, "TerminateInstances", { InstanceId: [id] }).catch((error: unknown) => {
      // A function terminates it at the same moment, which moto does not take.
      if (!String(error).includes("InvalidAttachment")) throw error;
    });
    await tellState(deployment, id, "shutting-down");
    await tellState(deployment, id, "terminated");
  });
  return instance;
}

/** What the instance would read: that of the launch template, as moto copies it to the instance. */
async function userDataOf({ client }: AwsDeployment, id: string): Promise<string> {
  const answer = await callEc2(client, "DescribeInstanceAttribute", {
    InstanceId: id,
    Attribute: "userData",
  });
  return textAt(answer, "userData", "value") ?? "";
}

function tellState(deployment: AwsDeployment, id: string, state: string): Promise<void> {
  return deployment.sendEvent("lifecycle", ec2Event("EC2 Instance State-change Notification", id, { state }));
}

/** As EventBridge sends it. */
function ec2Event(type: string, id: string, detail: Readonly<Record<string, string>>): unknown {
  return {
    version: "0",
    "detail-type": type,
    source: "aws.ec2",
    account: "123456789012",
    time: new Date().toISOString(),
    region,
    detail: { "instance-id": id, ...detail },
  };
}
