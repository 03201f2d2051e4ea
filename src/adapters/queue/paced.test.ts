import { expect, it } from "vitest";
import type { Poke } from "../../core/model.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryQueue } from "./memory.ts";
import { createPacedQueue } from "./paced.ts";

const pokeOf = (fleet: string): Poke => ({ stage: "scaleup", fleet });
const now = { limit: 8, visibilitySeconds: 60, waitSeconds: 0 };

function setUp() {
  const clock = createManualClock();
  const queue = createPacedQueue(createMemoryQueue<Poke>("work", clock), clock);
  const send = (fleet: string) => queue.send(pokeOf(fleet), { key: `scaleup:${fleet}` });
  const fleets = async () => (await queue.receive(now)).map(({ message }) => message.fleet);
  /** A look at fleet a that takes so long. */
  const look = async (milliseconds: number) => {
    await send("a");
    const [received] = await queue.receive(now);
    await clock.advance(milliseconds);
    await queue.delete(received?.receipt ?? "");
  };
  return { clock, queue, send, fleets, look };
}

it("hands out the first poke at once", async () => {
  const { send, fleets } = setUp();
  await send("a");
  expect(await fleets()).toEqual(["a"]);
});

it("leaves a fleet alone for nine times as long as the look at it took, and no other fleet", async () => {
  const { clock, send, fleets, look } = setUp();
  await look(5);
  for (const fleet of ["a", "a", "b", "a"]) await send(fleet);
  expect(await fleets()).toEqual(["b"]);
  await clock.advance(44);
  expect(await fleets()).toEqual([]);
  await clock.advance(1);
  expect(await fleets()).toEqual(["a"]);
});

it("never leaves a fleet alone for longer than a quarter of a second, however long a launch took", async () => {
  const { clock, send, fleets, look } = setUp();
  await look(60_000);
  await send("a");
  await clock.advance(250);
  expect(await fleets()).toEqual(["a"]);
});

it("keeps a poke for later as late as it was, and does not pace what ends machines", async () => {
  const { clock, queue, fleets, look } = setUp();
  await look(5);
  await queue.send(pokeOf("a"), { delaySeconds: 1 });
  await queue.send({ stage: "scaledown", fleet: "a" });
  expect(await fleets()).toEqual(["a"]);
  await clock.advance(999);
  expect(await fleets()).toEqual([]);
  await clock.advance(1);
  expect(await fleets()).toEqual(["a"]);
});
