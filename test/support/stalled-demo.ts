import { runDemo } from "../../src/targets/box/demo.ts";

/* A demo whose runner is the folder that is given, and which gives up soon. Ends as `mayfly demo` does. */
const [runnerDirectory = "", stallSeconds = ""] = process.argv.slice(2);
const { ok } = await runDemo({
  version: "0.0.0",
  jobs: 2,
  faults: "none",
  keep: false,
  json: true,
  runnerDirectory,
  stallSeconds: Number(stallSeconds),
});
process.exitCode = ok ? 0 : 1;
