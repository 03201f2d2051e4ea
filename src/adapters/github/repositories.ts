import type { Github, RepositoryAddress } from "../../ports/github.ts";
import { fields, isId, list } from "./answer.ts";
import type { GithubClient } from "./client.ts";

const pagesLimit = 10;
const pageSize = 100;

/** The part of the port that is about where the App is installed. */
export function createRepositoryRequests(client: GithubClient): Pick<Github, "listRepositories"> {
  return {
    async listRepositories() {
      const installations = await client.pages({
        what: "list the installations of the App",
        caller: "app",
        priority: "sweep",
        method: "GET",
        endpoint: "/app/installations",
        parameters: {},
        read: readInstallations,
        pagesLimit,
      });
      const repositories: RepositoryAddress[] = [];
      let complete = installations.length < pagesLimit * pageSize;
      for (const { id, suspended } of installations) {
        const found = suspended ? [] : await repositoriesOf(client, id);
        if (suspended || found.length >= pagesLimit * pageSize) complete = false;
        repositories.push(...found);
      }
      return { repositories, complete };
    },
  };
}

function repositoriesOf(client: GithubClient, installationId: number): Promise<readonly RepositoryAddress[]> {
  return client.pages({
    what: `list the repositories of installation ${installationId}`,
    caller: installationId,
    priority: "sweep",
    method: "GET",
    endpoint: "/installation/repositories",
    parameters: {},
    read: (data) => readRepositories(data, installationId),
    pagesLimit,
  });
}

interface Installation {
  readonly id: number;
  readonly suspended: boolean;
}

function readInstallations(data: unknown): readonly Installation[] | undefined {
  if (!Array.isArray(data)) return undefined;
  const installations: Installation[] = [];
  for (const entry of data) {
    const installation = fields(entry);
    if (installation === undefined || !isId(installation.id)) return undefined;
    installations.push({ id: installation.id, suspended: typeof installation.suspended_at === "string" });
  }
  return installations;
}

function readRepositories(data: unknown, installationId: number): readonly RepositoryAddress[] | undefined {
  const repositories: RepositoryAddress[] = [];
  if (!Array.isArray(fields(data)?.repositories)) return undefined;
  for (const entry of list(fields(data)?.repositories)) {
    const repository = fields(entry);
    const owner = fields(repository?.owner)?.login;
    if (repository === undefined || typeof owner !== "string") return undefined;
    const { name, private: isPrivate } = repository;
    if (typeof name !== "string" || typeof isPrivate !== "boolean") return undefined;
    repositories.push({ owner, name, private: isPrivate, installationId });
  }
  return repositories;
}
