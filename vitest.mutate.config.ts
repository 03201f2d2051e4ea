import { defineConfig } from "vitest/config";

/** The tests that `npm run mutate` asks: those beside the core, as a mutant lives or dies by them. */
export default defineConfig({
  test: {
    include: ["src/core/**/*.test.ts"],
    setupFiles: ["test/fixed-seed.ts"],
    // A test that is slow because the machine is busy must not pass for one that noticed the fault.
    testTimeout: 120_000,
    // Nothing is kept in the modules of the core, so one process may run all files: half the time.
    isolate: false,
  },
});
