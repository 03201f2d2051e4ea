/**
 * Extracts from GitHub's description of its REST API what Mayfly and its emulator use: the operations listed
 * below and the schemas that they need, without prose and examples. The whole description is 385 MB as a
 * package, the extract a few hundred kilobytes.
 *
 *   npm install --prefix /tmp/description @octokit/openapi@23.0.2
 *   node tools/extract-openapi.ts /tmp/description/node_modules/@octokit/openapi/generated/api.github.com.json
 */
import { readFileSync, writeFileSync } from "node:fs";

const target = new URL("../test/fixtures/github-openapi.generated.json", import.meta.url);

const operations: Readonly<Record<string, readonly string[]>> = {
  "/app": ["get"],
  "/app/installations": ["get"],
  "/app/installations/{installation_id}": ["get"],
  "/app/installations/{installation_id}/access_tokens": ["post"],
  "/app/hook/deliveries": ["get"],
  "/app/hook/deliveries/{delivery_id}": ["get"],
  "/app/hook/deliveries/{delivery_id}/attempts": ["post"],
  "/app/hook/config": ["get", "patch"],
  "/app-manifests/{code}/conversions": ["post"],
  "/installation/repositories": ["get"],
  "/meta": ["get"],
  "/rate_limit": ["get"],
  "/orgs/{org}/installation": ["get"],
  "/orgs/{org}/actions/runners": ["get"],
  "/orgs/{org}/actions/runners/generate-jitconfig": ["post"],
  "/orgs/{org}/actions/runners/{runner_id}": ["get", "delete"],
  "/orgs/{org}/actions/runner-groups": ["get"],
  "/orgs/{org}/actions/runner-groups/{runner_group_id}": ["get"],
  "/repos/{owner}/{repo}/installation": ["get"],
  "/repos/{owner}/{repo}/actions/runners": ["get"],
  "/repos/{owner}/{repo}/actions/runners/generate-jitconfig": ["post"],
  "/repos/{owner}/{repo}/actions/runners/{runner_id}": ["get", "delete"],
  "/repos/{owner}/{repo}/actions/runs": ["get"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}": ["get"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs": ["get"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs": ["get"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun": ["post"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs": ["post"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel": ["post"],
  "/repos/{owner}/{repo}/actions/runs/{run_id}/force-cancel": ["post"],
  "/repos/{owner}/{repo}/actions/jobs/{job_id}": ["get"],
  "/repos/{owner}/{repo}/actions/jobs/{job_id}/rerun": ["post"],
  "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches": ["post"],
  "/repos/{owner}/{repo}/check-runs": ["post"],
  "/repos/{owner}/{repo}/check-runs/{check_run_id}": ["patch"],
};

type Json = Readonly<Record<string, unknown>>;

const prose = new Set([
  "description",
  "summary",
  "example",
  "examples",
  "externalDocs",
  "tags",
  "x-github",
  "title",
  "links",
  "headers",
]);

function main(): void {
  const [source] = process.argv.slice(2);
  if (source === undefined) throw new Error("Usage: node tools/extract-openapi.ts <api.github.com.json>");
  const description: Json = JSON.parse(readFileSync(source, "utf8"));
  const paths: Record<string, unknown> = {};
  for (const [path, methods] of Object.entries(operations)) {
    const found = methods.map((method) => [method, bare(at(description, ["paths", path, method]))]);
    paths[path] = Object.fromEntries(found);
  }
  correct(paths);
  const extract = { openapi: description.openapi, paths, components: componentsFor(description, paths) };
  writeFileSync(target, `${JSON.stringify(extract)}\n`);
}

/**
 * The one mistake in the description that would refuse correct answers: in the list of installations an account
 * is a user and an enterprise at once. The installation itself is described correctly.
 */
function correct(paths: unknown): void {
  const content = at(paths, ["/app/installations", "get", "responses", "200", "content", "application/json"]);
  Object.assign(Object(content), {
    schema: { type: "array", items: { $ref: "#/components/schemas/installation" } },
  });
}

/** Every component that the paths name, directly or through others, grouped by its kind. */
function componentsFor(description: Json, paths: unknown): Json {
  const components: Record<string, Record<string, unknown>> = {};
  const open = referencesIn(paths);
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const [kind, name] = reference.replace("#/components/", "").split("/");
    if (kind === undefined || name === undefined || kind === "examples") continue;
    const group = components[kind] ?? {};
    components[kind] = group;
    if (name in group) continue;
    group[name] = bare(at(description, ["components", kind, name]));
    open.push(...referencesIn(group[name]));
  }
  return components;
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const own = "$ref" in value && typeof value.$ref === "string" ? [value.$ref] : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
}

/** The value without prose. A property of a schema may be called `description`, so those names are kept. */
function bare(value: unknown, isNameMap = false): unknown {
  if (Array.isArray(value)) return value.map((item) => bare(item));
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => isNameMap || !prose.has(key));
  return Object.fromEntries(kept.map(([key, item]) => [key, bare(item, !isNameMap && key === "properties")]));
}

function at(value: unknown, keys: readonly string[]): unknown {
  let found = value;
  for (const key of keys) {
    if (typeof found !== "object" || found === null || !(key in found)) {
      throw new Error(`The description has no ${keys.join(" ")}.`);
    }
    found = Object.entries(found).find(([name]) => name === key)?.[1];
  }
  return found;
}

main();
