import { defineConfig } from "vitest/config";

/** The tests that `npm run mutate` asks: those beside the core, as a mutant lives or dies by them. */
export default defineConfig({
  test: {
    include: ["src/core/**/*.test.ts"],
    setupFiles: ["test/fixed-seed.ts"],
    // A test that is slow because the machine is busy must not pass for one that noticed the fault.
    testTimeout: 120_000,
    // Each mutant has a process of its own, which runs all the files that reach it: half the time.
    isolate: false,
  },
});
