import { defineConfig } from "vitest/config";

/** Tests on moto, a stand-in for AWS: `npm run test:aws`. They start a moto_server of their own. */
export default defineConfig({
  test: {
    include: ["test/aws/**/*.test.ts"],
    globalSetup: ["test/aws/global-setup.ts"],
    testTimeout: 240_000,
    hookTimeout: 60_000,
  },
});
