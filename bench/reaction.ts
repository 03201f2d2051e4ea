import { connect } from "node:net";
import { createBoxWorld } from "./box-world.ts";
import { startChild } from "./child.ts";
import { type Measure, number, quantile } from "./measure.ts";
import { signedRequests } from "./signed-requests.ts";

const warmUp = 20;
const count = 300;
/** The box is idle again before the next delivery, and the longest pause after a look is over. */
const restMilliseconds = 300;

/** From the last byte of a `queued` delivery to the call that launches its machine, one delivery at a time. */
export const reaction: Measure = {
  name: "reaction",
  title: "Reaction: from the queued delivery to the launch command, on an idle box",
  async run(progress) {
    const world = await createBoxWorld({ machines: 1_000 });
    const options = { configPath: world.configPath, standIn: true };
    const box = await startChild(new URL("./box-server.ts", import.meta.url), options);
    const { secret } = world;
    const requests = signedRequests({ firstId: 1, count: warmUp + count, secret, path: "/webhook" });
    const tookMilliseconds: number[] = [];
    for (const [index, request] of requests.entries()) {
      const launch = box.ask({ kind: "next-launch" });
      const sentAt = await send(world.port, request);
      const { atNanoseconds } = await launch;
      if (index >= warmUp) tookMilliseconds.push(Number(BigInt(String(atNanoseconds)) - sentAt) / 1e6);
      if (index % 50 === 0) progress(`${index}/${requests.length} deliveries`);
      await new Promise((resolve) => setTimeout(resolve, restMilliseconds));
    }
    await box.stop();
    await world.remove();
    const p50 = quantile(tookMilliseconds, 0.5);
    const p99 = quantile(tookMilliseconds, 0.99);
    const slowest = Math.max(...tookMilliseconds);
    return {
      tables: [
        {
          columns: ["deliveries", "p50 ms", "p99 ms", "slowest ms"],
          rows: [[String(count), number(p50), number(p99), number(slowest)]],
        },
      ],
      notes: [
        "The launch itself is a stand-in; jobs and machines stay, so the last delivery finds 319 of each.",
      ],
      values: { count, p50, p99, slowest },
    };
  },
};

/** Resolves with the instant before the bytes were handed to the system, on a connection that is open already. */
async function send(port: number, request: Buffer): Promise<bigint> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  const sentAt = process.hrtime.bigint();
  socket.write(request);
  socket.once("data", () => socket.destroy());
  return sentAt;
}
