import { expect, test } from "vitest";
import { World } from "../../../test/support/world.ts";
import { createRouter } from "../../adapters/http/router.ts";
import type { Identity } from "../../ports/identity.ts";
import { machineRoutes } from "./machine-routes.ts";

/** Where the provider proves who asks: a machine's caller is what the provider calls it, and our ids prove nothing. */
const provenByProvider: Identity = {
  issue: () => undefined,
  verify: async (name, { headers }) =>
    typeof name !== "string" && headers.caller === name.providerId ? "proven" : { unproven: "Not that one." },
};

async function worldWithMachine() {
  const world = new World();
  world.github.queueJob();
  await world.runUntil(() => world.agents.size > 0);
  for (const agent of world.agents.values()) agent.frozen = true;
  const machine = await world.onlyMachine();
  const providerId = machine.providerId ?? "";
  const router = createRouter(machineRoutes({ ...world.ports, identity: provenByProvider }, world.policy));
  const ask = (path: string, caller = providerId, body = "") =>
    router.handle({
      method: "POST",
      path: `/v1/machines/${path}`,
      query: "",
      headers: { caller },
      body: new TextEncoder().encode(body),
      remoteAddress: "",
    });
  return { world, machine, providerId, ask };
}

test("a machine that knows only what its provider calls it claims and reports under that name", async () => {
  const { world, machine, providerId, ask } = await worldWithMachine();
  const answer = await ask(`memory/${providerId}/claim`);
  expect(answer.status).toBe(200);
  expect(answer.body).toContain("action=run\n");
  // The runner's name is the machine's id, whatever name the machine asks under.
  expect([...world.github.runners.values()].map((runner) => runner.name)).toEqual([machine.id]);

  expect((await ask(`memory/${providerId}/report`, providerId, "step=listening")).status).toBe(204);
  await world.workThroughQueues();
  expect((await world.store.findMachine(machine.id))?.times.online).toBeDefined();
  expect((await ask(`memory/${providerId}/claim`)).status).toBe(409);
});

test("a provider's name proves nothing for another machine, and an id proves nothing where providers do", async () => {
  const { world, machine, providerId, ask } = await worldWithMachine();
  expect((await ask(`memory/${providerId}/claim`, "another")).status).toBe(401);
  expect((await ask(`memory/${providerId}/report`, "another", "step=listening")).status).toBe(401);
  expect((await ask(`${machine.id}/claim`)).status).toBe(401);
  expect(world.github.runners.size).toBe(0);
});

test("a machine that is not known yet is told to ask again, as the answer to its launch may be on its way", async () => {
  const { world, ask, providerId } = await worldWithMachine();
  expect((await ask("memory/i-young/claim", "i-young")).status).toBe(503);
  // A provider id belongs to its compute adapter.
  expect((await ask(`other/${providerId}/claim`)).status).toBe(503);
  expect(world.github.runners.size).toBe(0);
});
