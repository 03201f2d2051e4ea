import { defineConfig } from "vitest/config";

/** Tests of infra/aws: `npm run test:infra`, which says what is missing for some of them. */
export default defineConfig({
  test: {
    include: ["infra/**/*.test.ts"],
    globalSetup: ["test/aws/global-setup.ts"],
    // One of them mostly waits for Terraform.
    maxWorkers: 2,
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
