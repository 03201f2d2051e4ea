import { expect, test } from "vitest";
import { policy, preset } from "../../../test/builders.ts";
import { World } from "../../../test/support/world.ts";
import { createRouter } from "../../adapters/http/router.ts";
import { Secret } from "../../core/secret.ts";
import { readStatus } from "../../flow/status.ts";
import { readRoutes } from "./read-routes.ts";

const base = "ubuntu:22.04";
const rules = policy({ presets: [preset({ image: base, buildsImages: true })] });

function serverOf(world: World) {
  const secrets = { read: async () => [new Secret("the-status-token")] };
  const options = { version: "1", problems: [], listLimit: 10 };
  const routes = readRoutes({
    ports: { ...world.ports, secrets },
    policy: rules,
    readStatus: () => readStatus(world.ports, rules, options),
    tokenConfigured: true,
  });
  const router = createRouter(routes);
  return async (request: string, body: unknown = undefined, headers = {}) => {
    const [method = "", target = ""] = request.split(" ");
    const [path = "", query = ""] = target.split("?");
    const answer = await router.handle({
      ...{ method, path, query, remoteAddress: "" },
      headers: { authorization: "Bearer the-status-token", "x-mayfly-request": "1", ...headers },
      body: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body ?? {})),
    });
    return { status: answer.status, ...JSON.parse(String(answer.body)) };
  };
}

test("an image is ordered, listed and read about", async () => {
  const world = new World({ policy: rules });
  const ask = serverOf(world);
  expect(await ask("POST /api/images/build", { base, anew: false })).toMatchObject({
    ...{ status: 200, result: "building", base, architecture: "x86_64" },
  });
  expect(await ask("GET /api/images")).toMatchObject({ images: [{ base, state: "building" }] });
  await world.run(70);
  expect(await ask("GET /api/images")).toMatchObject({ images: [{ base, state: "ready" }] });
  const log = await ask(`GET /api/images/log?base=${encodeURIComponent(base)}&lines=1`);
  expect(log).toMatchObject({ status: 200, build: "build-1", lines: ["the last line"] });
  expect(await ask("POST /api/images/build", { base, anew: false })).toMatchObject({ result: "ready" });
  expect(await ask("POST /api/images/build", { base, anew: true })).toMatchObject({ result: "building" });
});

test("an order needs the token, our own header and an image that may be built", async () => {
  const world = new World({ policy: rules });
  const ask = serverOf(world);
  const order = { base, anew: true };
  expect(await ask("POST /api/images/build", order, { authorization: "" })).toMatchObject({ status: 401 });
  expect(await ask("POST /api/images/build", order, { authorization: "Bearer no" })).toMatchObject({
    status: 401,
  });
  expect(await ask("POST /api/images/build", order, { "x-mayfly-request": "" })).toMatchObject({
    status: 403,
  });
  expect(await ask("GET /api/images", {}, { authorization: "" })).toMatchObject({ status: 401 });
  expect(await ask("GET /api/images/log?base=x", {}, { authorization: "" })).toMatchObject({ status: 401 });
  for (const body of [
    "no json",
    [],
    { base },
    { base: 7, anew: true },
    { ...order, architecture: "sparc" },
  ]) {
    expect(await ask("POST /api/images/build", body)).toMatchObject({ status: 400 });
  }
  expect(await ask("POST /api/images/build", { base: "alpine:3", anew: true })).toMatchObject({
    ...{ status: 422, error: "The image alpine:3 matches no entry of images.allow." },
  });
  expect(await ask("GET /api/images/log?base=alpine:3")).toMatchObject({ status: 404 });
  expect(await world.store.images()).toEqual([]);
});
