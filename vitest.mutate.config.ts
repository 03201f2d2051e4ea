import { defineConfig } from "vitest/config";

/** The tests that `npm run mutate` asks: those beside the core, as a mutant lives or dies by them. */
export default defineConfig({
  test: {
    include: ["src/core/**/*.test.ts"],
    setupFiles: ["test/fixed-seed.ts"],
  },
});
