import { createGithubApp, type GithubAppOptions } from "../../adapters/github/app.ts";
import { inspectApp } from "../../adapters/github/inspection.ts";
import { diagnoseApp, diagnoseDeliveries, type Expectations, type Finding } from "../../core/diagnosis.ts";
import { findingOf } from "./look.ts";

const deliveryLookbackMilliseconds = 3_600_000;

/** The App, its permissions, events, webhook, installations and recent deliveries, as GitHub tells of them. */
export async function examineGithub(
  options: GithubAppOptions,
  expected: Expectations,
): Promise<readonly Finding[]> {
  try {
    const app = await inspectApp(options);
    const since = options.clock.now() - deliveryLookbackMilliseconds;
    const deliveries = await createGithubApp(options).listDeliveries(since);
    const says = `It knows the App ${app.slug} and accepts its key.`;
    return [
      { about: "GitHub", verdict: "ok", says, cure: null },
      ...diagnoseApp(app, expected),
      diagnoseDeliveries(deliveries),
    ];
  } catch (error) {
    return [findingOf("GitHub", error)];
  }
}
