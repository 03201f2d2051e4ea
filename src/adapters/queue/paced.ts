import type { FleetId, Poke } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Queue } from "../../ports/queue.ts";

/** After a look that took `t`, its fleet is left alone for `t` times this: looks take a tenth of the time. */
const pauseFactor = 9;
/** What a job may wait longer because of it. */
const pauseLimitMilliseconds = 250;

/**
 * A queue of pokes that keeps looks at a busy fleet rare enough that deliveries are recorded meanwhile. A look costs
 * more the longer the fleet's line is, and in a burst every delivery asks for one; a single look a little later sees
 * what ten would have seen. The first delivery after a quiet moment is looked at without delay.
 *
 * ```
 *   delivery ─▶ look (5 ms) ─▶ pause (45 ms) ─▶ look ─▶ …
 *                  └ deliveries meanwhile: one poke, due at the end of the pause
 * ```
 *
 * What it remembers is only for speed: a process that starts again has forgotten it.
 */
export function createPacedQueue(queue: Queue<Poke>, clock: Clock): Queue<Poke> {
  const looks = new Map<FleetId, Look>();
  const underWay = new Map<string, FleetId>();

  const begin = (fleet: FleetId): void => {
    const now = clock.now();
    const expected = looks.get(fleet)?.tookMilliseconds ?? 0;
    looks.set(fleet, { begunAt: now, tookMilliseconds: expected, quietUntil: now + pauseAfter(expected) });
  };
  const end = (receipt: string): void => {
    const look = looks.get(underWay.get(receipt) ?? "");
    underWay.delete(receipt);
    if (look === undefined) return;
    const now = clock.now();
    look.tookMilliseconds = now - look.begunAt;
    look.quietUntil = now + pauseAfter(look.tookMilliseconds);
  };

  return {
    async send(message, options = {}) {
      const quietUntil = message.stage === "scaleup" ? (looks.get(message.fleet)?.quietUntil ?? 0) : 0;
      // Bounded once more, as a clock that is set back must not stop a fleet.
      const pause = Math.min(Math.max(0, quietUntil - clock.now()), pauseLimitMilliseconds);
      await queue.send(message, {
        ...options,
        delaySeconds: Math.max(options.delaySeconds ?? 0, pause / 1_000),
      });
    },
    async receive(options) {
      const received = await queue.receive(options);
      for (const { message, receipt } of received) {
        if (message.stage !== "scaleup") continue;
        underWay.set(receipt, message.fleet);
        begin(message.fleet);
      }
      return received;
    },
    async delete(receipt) {
      end(receipt);
      await queue.delete(receipt);
    },
    async release(receipt, delaySeconds) {
      end(receipt);
      await queue.release(receipt, delaySeconds);
    },
    depth: () => queue.depth(),
  };
}

interface Look {
  readonly begunAt: number;
  /** While the look is under way: what the one before it took. */
  tookMilliseconds: number;
  quietUntil: number;
}

function pauseAfter(tookMilliseconds: number): number {
  return Math.min(pauseFactor * tookMilliseconds, pauseLimitMilliseconds);
}
