import type { Account, ModelState, Repository } from "./model-state.ts";

/** JSON as GitHub's REST API answers it. */
export type Document = Readonly<Record<string, unknown>>;

/** Where the emulated GitHub is reached: its API and its pages. */
export interface Addresses {
  readonly api: string;
  readonly web: string;
}

/** What all documents need: the state they describe and the addresses they name. */
export interface DocumentSource {
  readonly state: ModelState;
  readonly addresses: Addresses;
}

/** An instant as GitHub writes it: whole seconds. */
export function timestamp(instant: number): string {
  return `${new Date(instant).toISOString().slice(0, 19)}Z`;
}

/** The global id of a thing; GitHub's are opaque, too. */
export function nodeId(kind: string, id: number): string {
  return Buffer.from(`${kind}:${id}`).toString("base64url");
}

/** The repository of an id that the model gave out. */
export function repositoryOf(state: ModelState, id: number): Repository {
  const repository = state.repositories.get(id);
  if (repository === undefined) throw new Error(`The model has no repository ${id}.`);
  return repository;
}

/** The account of a login; one that was never added is a user. */
export function accountOf(state: ModelState, login: string): Account {
  return state.accounts.get(login.toLowerCase()) ?? { id: 319_655, login, kind: "User" };
}
