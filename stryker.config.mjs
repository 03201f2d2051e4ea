/**
 * Mutation testing of the core, `npm run mutate`: each small fault that Stryker plants must make a test fail.
 * What it found, and which faults cannot be told from the right code: docs/reference/mutation.md.
 */
export default {
  mutate: ["src/core/**/*.ts", "!src/core/**/*.test.ts"],
  testRunner: "vitest",
  vitest: { configFile: "vitest.mutate.config.ts" },
  // Only the tests that reach a fault are asked about it.
  coverageAnalysis: "perTest",
  concurrency: 1,
  // A machine that is busy otherwise must not pass for a fault that never ends.
  timeoutMS: 120_000,
  incremental: true,
  incrementalFile: ".stryker/incremental.json",
  tempDirName: ".stryker/sandboxes",
  // Not in the copy that is mutated. Stryker would rewrite tsconfig.json with an API that TypeScript 7 no longer has.
  ignorePatterns: [".stryker", "bench", "coverage", "dist", "docs", "examples", "infra", "tsconfig*.json"],
  reporters: ["progress-append-only", "clear-text", "json"],
  jsonReporter: { fileName: ".stryker/report.json" },
  clearTextReporter: { reportTests: false, allowColor: false },
  thresholds: { high: 95, low: 90, break: 85 },
};
