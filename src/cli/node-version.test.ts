import { expect, test } from "vitest";
import { expectNode } from "./node-version.ts";

test.each(["22.18.0", "22.20.1", "24.0.0", "100.1.0"])("Node %s is new enough", (running) => {
  expect(() => expectNode(">=22.18", running)).not.toThrow();
});

test.each(["22.17.1", "20.20.2", "9.99.0"])("Node %s is refused, with what is needed", (running) => {
  expect(() => expectNode(">=22.18", running)).toThrow(
    `This is Node ${running}, and Mayfly needs 22.18 or newer.`,
  );
});
