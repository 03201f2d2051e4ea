import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "tools/**/*.test.ts"],
    exclude: ["test/docker/**", "test/aws/**", "**/node_modules/**"],
    // Long enough for a box with ten times more to do than it can: a limit ends what hangs, it measures nothing.
    testTimeout: 120_000,
    // A machine that is terminated in a hook has ten seconds to end by itself, and needs them on a busy box.
    hookTimeout: 60_000,
    // Vitest leaves one processor free, which on two would mean one file at a time; the long tests mostly wait.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
