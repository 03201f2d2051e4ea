import { defineConfig } from "vitest/config";

/** Tests that need a container engine: `npm run test:docker`. They start a Podman of their own. */
export default defineConfig({
  test: {
    include: ["test/docker/**/*.test.ts"],
    globalSetup: ["test/docker/global-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
