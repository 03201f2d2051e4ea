import { stringify } from "yaml";
import { createSystemRandom } from "../src/adapters/random/system.ts";
import { startWorkflow } from "../src/emulator/routes-workflows.ts";
import { startGithubEmulator } from "../src/emulator/server.ts";
import { answerQuestions, type Message } from "./child.ts";

/** The emulated GitHub in a process of its own, without rate limits, as a GitHub Enterprise Server has none. */
interface Options {
  readonly appPublicKey: string;
  readonly webhook: { readonly url: string; readonly secret: string };
}

const options = JSON.parse(process.argv[2] ?? "{}") as Options;
const emulator = await startGithubEmulator({
  ...options,
  limits: { rateLimitsEnabled: false },
  random: createSystemRandom(),
});
const owner = "octo-org";
const repositories = ["storefront", "payments", "docs", "tools"];
emulator.model.addOrganization(owner);
for (const name of repositories) emulator.model.addRepository(Date.now(), { owner, name });
emulator.model.addInstallation(Date.now(), { account: owner });

const greeting = { url: emulator.url, appId: emulator.model.state.app.id };
answerQuestions(greeting, answer, () => emulator.close());

async function answer(question: Message): Promise<Message> {
  if (question.kind === "start") startJobs(Number(question.jobs));
  const counts = { queued: 0, waiting: 0, in_progress: 0, completed: 0 };
  for (const { status } of emulator.model.state.jobs.values()) counts[status] += 1;
  return counts;
}

/** All at once, as one matrix in each repository. */
function startJobs(count: number): void {
  for (const name of repositories) {
    const shard = Array.from({ length: count / repositories.length }, (_, index) => index);
    const test = {
      "runs-on": ["self-hosted", "linux"],
      strategy: { matrix: { shard } },
      steps: [{ run: "true" }],
    };
    startWorkflow(emulator.context, {
      repository: emulator.model.findRepository(owner, name),
      path: ".github/workflows/burst.yml",
      text: stringify({ name: "Burst", on: "push", jobs: { test } }),
    });
  }
  emulator.wake();
}
