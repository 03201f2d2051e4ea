import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { callQuery } from "../../src/adapters/aws/query.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import { ownEc2Images } from "../../src/adapters/compute/ec2-own-images.ts";
import type { Image } from "../../src/core/image.ts";
import { type PrunePlace, planPrune, prune } from "../../src/targets/aws/prune-images.ts";
import { policy, preset } from "../builders.ts";
import { standInClient } from "../support/aws-environment.ts";
import { callEc2 } from "../support/ec2-stand-in.ts";

const moto = inject("moto");
const client = standInClient(moto || "http://127.0.0.1:9");
const rules = { olderThanDays: 0, keep: 1 };

describe.skipIf(moto === "")("images that nobody needs", () => {
  // At its first call moto reads the images of AWS, which takes a busy host longer than a call may take.
  beforeAll(async () => {
    const limits = { timeoutSeconds: 120, attempts: 1 };
    const call = { service: "ec2", action: "DescribeSnapshots", resource: "*", limits } as const;
    await callQuery(client, { ...call, input: { Filter: [{ Name: "snapshot-id", Value: ["snap-none"] }] } });
  }, 130_000);

  it("go with their snapshots; those in use stay, whoever uses them, also when that is only since the look", async () => {
    const deployment = `prune-${Date.now()}`;
    const byInstance = await launch("ami-0123456789abcdef0");
    const images: Record<string, string> = {};
    // The last of them is the newest, which stays anyhow.
    for (const name of ["old", "late", "byLedger", "byPreset", "byTemplate", "byInstance", "newest"]) {
      // Which is the newest is told by the second.
      if (name === "newest") await setTimeout(1_100);
      images[name] = await createImage(byInstance, `${deployment}-${name}`, deployment);
    }
    const foreign = await createImage(byInstance, `${deployment}-foreign`, `${deployment}-of-others`);
    await launch(images.byInstance ?? "");
    await callEc2(client, "CreateLaunchTemplate", {
      LaunchTemplateName: deployment,
      LaunchTemplateData: { ImageId: images.byTemplate },
    });
    const used = [{ usable: { reference: images.byLedger } }] as unknown as Image[];
    const place: PrunePlace = {
      client,
      deployment,
      clock: { ...createSystemClock(), now: () => Date.now() + 3_600_000 },
      policy: policy({ presets: [preset({ compute: "ec2", image: images.byPreset ?? "" })] }),
      store: {
        images: async () => used,
        activeFleets: async () => [],
        load: async () => {
          throw new Error("There is no fleet.");
        },
      },
    };
    const decisions = await planPrune(place, rules);
    const because = (name: string) => decisions.find(({ image }) => image.id === images[name])?.because;
    expect(decisions).toHaveLength(7);
    for (const name of ["byLedger", "byPreset", "byTemplate", "byInstance"]) {
      expect([name, because(name)]).toEqual([name, "in-use"]);
    }
    const going = decisions.filter(({ isDeleted }) => isDeleted).map(({ image }) => image);
    expect(going.length).toBeGreaterThanOrEqual(2);
    // Looking has changed nothing.
    expect(await ownEc2Images(client, deployment)).toHaveLength(7);

    await launch(images.late ?? "");
    const ended: Record<string, unknown> = {};
    for await (const { image, removed } of prune(place, decisions)) ended[image.id] = removed;
    expect(ended[images.late ?? ""]).toBe("in-use");
    const left = (await ownEc2Images(client, deployment)).map(({ id }) => id);
    const gone = going.filter(({ id }) => id !== images.late);
    for (const image of gone) {
      expect(left).not.toContain(image.id);
      expect(await snapshotsLeft(image.snapshots)).toEqual([]);
    }
    for (const name of ["late", "byLedger", "byPreset", "byTemplate", "byInstance"]) {
      expect(left).toContain(images[name]);
    }
    expect((await ownEc2Images(client, `${deployment}-of-others`)).map(({ id }) => id)).toEqual([foreign]);
  });

  it("are not decided upon while it cannot be seen what is in use", async () => {
    const place = {
      client,
      deployment: "mayfly",
      clock: createSystemClock(),
      policy: policy(),
      store: { images: () => Promise.reject(new Error("No ledger.")) },
    } as unknown as PrunePlace;
    await expect(planPrune(place, rules)).rejects.toThrow("No ledger.");
  });
});

async function launch(imageId: string): Promise<string> {
  const answer = await callEc2(client, "RunInstances", {
    ImageId: imageId,
    InstanceType: "m5.large",
    MinCount: 1,
    MaxCount: 1,
  });
  return textAt(itemsAt(answer, "instancesSet")[0] ?? {}, "instanceId") ?? "";
}

async function createImage(instance: string, name: string, deployment: string): Promise<string> {
  const answer = await callEc2(client, "CreateImage", { InstanceId: instance, Name: name });
  const id = textAt(answer, "imageId") ?? "";
  const tags = [
    { Key: "mayfly:deployment", Value: deployment },
    { Key: "mayfly:pipeline", Value: "tools" },
  ];
  await callEc2(client, "CreateTags", { ResourceId: [id], Tag: tags });
  return id;
}

async function snapshotsLeft(ids: readonly string[]): Promise<readonly string[]> {
  const only = { Name: "snapshot-id", Value: ids };
  const answer = await callEc2(client, "DescribeSnapshots", { Filter: [only] });
  const all = itemsAt(answer, "snapshotSet").map((one) => textAt(one, "snapshotId") ?? "");
  return ids.filter((id) => all.includes(id));
}
