import { beforeEach, describe, expect, inject, it } from "vitest";
import { callJson, type JsonCall } from "../../src/adapters/aws/json.ts";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createSecretsManager } from "../../src/adapters/secrets/secrets-manager.ts";
import type { Secret } from "../../src/core/secret.ts";
import { standInClient } from "../support/aws-environment.ts";
import { startAwsFaultProxy } from "../support/aws-fault-proxy.ts";

const moto = inject("moto");
const minute = 60_000;
let secrets = 0;

describe.skipIf(moto === "")("secrets: secrets-manager", () => {
  let id: string;
  beforeEach(() => {
    secrets += 1;
    id = `mayfly/webhook-secret-${secrets}`;
  });

  const call = (service: JsonCall["service"], action: string, input: JsonCall["input"]) =>
    callJson(standInClient(moto), { service, action, resource: id, input });
  const create = (SecretString: string) => call("secretsmanager", "CreateSecret", { Name: id, SecretString });
  const rotate = (SecretString: string) =>
    call("secretsmanager", "PutSecretValue", { SecretId: id, SecretString });
  const texts = (values: readonly Secret[]): string[] => values.map((value) => value.reveal());

  function open(endpoint = moto, place = id) {
    // moto knows its own time only, so the clock begins there.
    const clock = createManualClock(Date.now());
    const client = standInClient(endpoint);
    return { clock, secrets: createSecretsManager({ client, ids: { "webhook-secret": place }, clock }) };
  }

  it("gives every line as a value, and keeps them for five minutes", async () => {
    await create("new\n old \n\n");
    const { clock, secrets } = open();
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["new", "old"]);
    await rotate("newest");
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["new", "old"]);
    await clock.advance(5 * minute);
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["newest", "new", "old"]);
  });

  it("takes the value before a rotation for a day, and no longer", async () => {
    await create("first");
    await rotate("second");
    const { clock, secrets } = open();
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["second", "first"]);
    await clock.advance(24 * 60 * minute);
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["second"]);
  });

  it("reads a parameter of Parameter Store", async () => {
    await call("ssm", "PutParameter", { Name: `/${id}`, Value: "from ssm", Type: "SecureString" });
    expect(texts(await open(moto, `ssm:/${id}`).secrets.read("webhook-secret"))).toEqual(["from ssm"]);
    await expect(open(moto, "ssm:/nothing").secrets.read("webhook-secret")).rejects.toMatchObject({
      kind: "operator",
      code: "SECRET_MISSING",
    });
  });

  it("says what is missing or empty, and finds it when it is there", async () => {
    const { secrets } = open();
    const error = { kind: "operator", code: "SECRET_MISSING", message: expect.stringContaining(id) };
    await expect(secrets.read("webhook-secret")).rejects.toMatchObject(error);
    await create(" \n");
    await expect(secrets.read("webhook-secret")).rejects.toMatchObject({ code: "SECRET_EMPTY" });
    await rotate("here");
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["here"]);
    await expect(secrets.read("status-token")).rejects.toMatchObject({ code: "SECRET_MISSING" });
  });

  it("goes on for an hour with what it knows while nobody answers, and never remembers a failure", async () => {
    const proxy = await startAwsFaultProxy(moto);
    const lost = (count: number) =>
      proxy.inject(
        "GetSecretValue",
        ...Array.from({ length: count }, () => ({ kind: "lose-request" }) as const),
      );
    await create("known");
    lost(3);
    const { clock, secrets } = open(proxy.url);
    await expect(secrets.read("webhook-secret")).rejects.toMatchObject({ kind: "retry" });
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["known"]);

    await clock.advance(30 * minute);
    lost(3);
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["known"]);
    await clock.advance(31 * minute);
    lost(3);
    await expect(secrets.read("webhook-secret")).rejects.toMatchObject({ kind: "retry" });
    expect(texts(await secrets.read("webhook-secret"))).toEqual(["known"]);
    await proxy.close();
  });

  it("asks once for many who read at the same time", async () => {
    const proxy = await startAwsFaultProxy(moto);
    await create("one");
    const { clock, secrets } = open(proxy.url);
    await clock.advance(25 * 60 * minute);
    await Promise.all(Array.from({ length: 20 }, () => secrets.read("webhook-secret")));
    expect(proxy.calls).toHaveLength(1);
    await proxy.close();
  });
});
