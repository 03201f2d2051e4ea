import { describe, expect, it } from "vitest";
import { job, machine, start } from "../../../test/builders.ts";
import { type Announcement, announcementsOf } from "../../core/announcement.ts";
import type { Job } from "../../core/model.ts";
import type { AwsClient } from "../aws/client.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createEventBridgeAnnouncer } from "./event-bridge.ts";

interface Sent {
  readonly DetailType: string;
  readonly Detail: string;
}

function bus(answer: () => unknown = () => ({ FailedEntryCount: 0 })) {
  const batches: Sent[][] = [];
  const log = createMemoryLog();
  const client: AwsClient = {
    region: "eu-west-1",
    async send({ body }) {
      batches.push(JSON.parse(body).Entries);
      return { status: 200, headers: {}, body: JSON.stringify(await answer()) };
    },
  };
  const options = { client, log, bus: "default", deployment: "mayfly" };
  return { batches, log, announcer: createEventBridgeAnnouncer(options) };
}

const of = (entry: Job): readonly Announcement[] =>
  announcementsOf([{ put: "job", job: entry }], new Map(), start);
const many = (count: number) => Array.from({ length: count }, (_, id) => of(job({ id }))).flat();

describe("events on a bus", () => {
  it("say what has another state, as the status does, and nothing that is secret", async () => {
    const { announcer, batches } = bus();
    const registration = {
      runnerId: 7,
      scope: { kind: "organization", installationId: 1, owner: "a" },
    } as const;
    const known = new Map([["machine mayfly-1", "launched" as const]]);
    const put = machine({ state: "registered", registration, launchToken: "the-launch-token" });
    announcer.tell(announcementsOf([{ put: "machine", machine: put }], known, start));
    announcer.tell(of(job({ name: "建置 🦟" })));
    await announcer.flush();
    const [first, second] = batches[0] ?? [];
    expect(first).toMatchObject({
      ...{ EventBusName: "default", Source: "mayfly", DetailType: "mayfly.machine", Time: start / 1000 },
    });
    expect(JSON.parse(first?.Detail ?? "")).toMatchObject({
      ...{ version: 1, deployment: "mayfly", at: new Date(start).toISOString(), before: "launched" },
      machine: { id: "mayfly-1", state: "registered" },
    });
    expect(first?.Detail).not.toMatch(/the-launch-token|runnerId|kind/);
    expect(second?.DetailType).toBe("mayfly.job");
    expect(second?.Detail).toMatch(/^[\x20-\x7e]*$/);
    expect(JSON.parse(second?.Detail ?? "")).toMatchObject({ before: null, job: { name: "建置 🦟" } });
  });

  it("are sent ten at a time, and fewer where they are long", async () => {
    const { announcer, batches } = bus();
    announcer.tell(many(23));
    await announcer.flush();
    expect(batches.map((batch) => batch.length)).toEqual([10, 10, 3]);
    const long = bus();
    const labels = Array(100).fill("ü".repeat(200));
    for (let id = 0; id < 5; id++) long.announcer.tell(of(job({ id, labels })));
    await long.announcer.flush();
    expect(long.batches.length).toBeGreaterThan(2);
    expect(long.batches.flat()).toHaveLength(5);
    for (const batch of long.batches) {
      expect(batch.reduce((sum, { Detail }) => sum + Detail.length, 0)).toBeLessThan(256_000);
    }
    await announcer.flush();
    expect(batches).toHaveLength(3);
  });

  it("that are lost are logged, and hold nobody up", async () => {
    const partly = bus(() => ({ FailedEntryCount: 1, Entries: [{ ErrorCode: "ThrottlingException" }, {}] }));
    partly.announcer.tell(many(2));
    await partly.announcer.flush();
    expect(partly.log.text()).toContain("ThrottlingException");
    const dead = bus(() => Promise.reject(new Error("no route")));
    dead.announcer.tell(many(12));
    await dead.announcer.flush();
    expect(dead.batches).toHaveLength(2);
    expect(dead.log.text()).toContain("no route");
  });
});
