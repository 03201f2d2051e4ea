/** The id of the runner in a JIT config, as the runner itself would read it. */
export function decodeJitRunnerId(jitConfig: string): number {
  const files = JSON.parse(fromBase64(jitConfig)) as Readonly<Record<string, string>>;
  const runner = JSON.parse(fromBase64(files[".runner"] ?? "")) as { readonly AgentId: string };
  return Number(runner.AgentId);
}

function fromBase64(text: string): string {
  return Buffer.from(text, "base64").toString("utf8");
}
