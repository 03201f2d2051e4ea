import { describe, expect, test } from "vitest";
import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { Log } from "../../ports/log.ts";
import { createSystemClock } from "../clock/system.ts";
import { createJsonLinesLog } from "./json-lines.ts";
import { createMemoryLog } from "./memory.ts";
import { createPinoLog } from "./pino.ts";

const printers: Readonly<Record<string, (lines: string[]) => Log>> = {
  pino: (lines) => createPinoLog({ level: "info", destination: { write: (line) => lines.push(line) } }),
  "JSON lines": (lines) =>
    createJsonLinesLog({ level: "info", clock: createSystemClock(), write: (line) => lines.push(line) }),
};

describe.each(Object.entries(printers))("%s", (_name, logInto) => {
  test("a line is one JSON object with level, time, message and the fields of every `with`", () => {
    const lines: string[] = [];
    logInto(lines)
      .with({ stage: "claim", fleet: "a" })
      .with({ fleet: "b" })
      .warn("100 %s done", { count: 3 });
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0]!);
    expect(line).toMatchObject({
      level: "warn",
      message: "100 %s done",
      stage: "claim",
      fleet: "b",
      count: 3,
    });
    expect(Date.parse(line.time)).toBeGreaterThan(0);
    expect(lines[0]!.match(/"fleet"/g)).toHaveLength(1);
  });

  test("a secret prints as [secret] wherever it hides", () => {
    const lines: string[] = [];
    const secret = new Secret("hunter2");
    logInto(lines).info(`text ${secret}`, {
      secret,
      deep: { list: [secret], map: new Map([["k", secret]]) },
    });
    expect(lines[0]).not.toContain("hunter2");
    expect(JSON.parse(lines[0]!).deep).toEqual({ list: ["[secret]"], map: { k: "[secret]" } });
  });

  test("an error is printed with code, kind, suggestion and cause, and without what a library hung on it", () => {
    const lines: string[] = [];
    const cause = Object.assign(new Error("socket closed"), {
      code: "ECONNRESET",
      request: { headers: { authorization: "token hunter2" } },
    });
    const error = new MayflyError({
      kind: "retry",
      code: "GITHUB_UNREACHABLE",
      message: "GitHub did not answer.",
      suggestion: "Try again.",
      cause,
    });
    logInto(lines).error("The sweep failed.", { error, other: cause });
    expect(lines[0]).not.toContain("hunter2");
    expect(JSON.parse(lines[0]!).error).toMatchObject({
      code: "GITHUB_UNREACHABLE",
      kind: "retry",
      suggestion: "Try again.",
      cause: { message: "socket closed", code: "ECONNRESET" },
    });
  });

  test("logging never throws", () => {
    const lines: string[] = [];
    const circle: Record<string, unknown> = { big: 10n, nothing: undefined, not: Number.NaN, fn: () => 1 };
    circle.self = circle;
    const hostile = {
      get trap() {
        throw new Error("no");
      },
    };
    logInto(lines).info("odd values", { circle, hostile, level: "mine", bytes: new Uint8Array(5) });
    const line = JSON.parse(lines[0]!);
    expect(line).toMatchObject({ level: "info", level_: "mine", bytes: "[5 bytes]" });
    expect(line.circle.not).toBe("NaN");
    expect(line.hostile).toBe("[unprintable: Error]");
  });

  test("lines below the level are not written", () => {
    const lines: string[] = [];
    logInto(lines).debug("quiet");
    expect(lines).toEqual([]);
  });

  test("every printer prints the same fields", () => {
    const lines: string[] = [];
    logInto(lines)
      .with({ stage: "claim" })
      .warn("It failed.", { error: new RangeError("no"), time: 5 });
    const { time, error, ...line } = JSON.parse(lines[0]!);
    expect(line).toEqual({ level: "warn", message: "It failed.", stage: "claim", time_: 5 });
    expect(error).toEqual({
      name: "RangeError",
      message: "no",
      stack: expect.stringContaining("RangeError"),
    });
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });
});

test("the log in memory keeps lines of its children, printed the same way", () => {
  const log = createMemoryLog();
  log.with({ stage: "webhook" }).info("received", { secret: new Secret("hunter2") });
  expect(log.lines).toEqual([
    { level: "info", message: "received", fields: { stage: "webhook", secret: "[secret]" } },
  ]);
  expect(log.text()).not.toContain("hunter2");
});
