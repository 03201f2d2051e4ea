import { createGithubApp } from "../../adapters/github/app.ts";
import type { Github } from "../../ports/github.ts";
import { type Basics, openSecrets } from "./wiring.ts";

export function openGithub(basics: Basics): Github {
  const { document, ports } = basics;
  return createGithubApp({
    ...document.github,
    secrets: openSecrets(basics, ["app-private-key"]),
    clock: ports.clock,
    log: ports.log,
    version: document.version,
  });
}
