import {
  type Addresses,
  accountOf,
  type Document,
  type DocumentSource,
  nodeId,
  timestamp,
} from "./document-source.ts";
import type { Account, Repository } from "./model-state.ts";

/** A user or organisation in the short form that is part of most other documents. */
export function userDocument(addresses: Addresses, account: Account): Document {
  const url = `${addresses.api}/users/${account.login}`;
  return {
    login: account.login,
    id: account.id,
    node_id: nodeId(account.kind, account.id),
    avatar_url: `${addresses.web}/avatars/u/${account.id}?v=4`,
    gravatar_id: "",
    url,
    html_url: `${addresses.web}/${account.login}`,
    followers_url: `${url}/followers`,
    following_url: `${url}/following{/other_user}`,
    gists_url: `${url}/gists{/gist_id}`,
    starred_url: `${url}/starred{/owner}{/repo}`,
    subscriptions_url: `${url}/subscriptions`,
    organizations_url: `${url}/orgs`,
    repos_url: `${url}/repos`,
    events_url: `${url}/events{/privacy}`,
    received_events_url: `${url}/received_events`,
    type: account.kind,
    user_view_type: "public",
    site_admin: false,
  };
}

/** An organisation as a delivery describes it. */
export function organizationDocument(source: DocumentSource, account: Account): Document {
  const url = `${source.addresses.api}/orgs/${account.login}`;
  return {
    login: account.login,
    id: account.id,
    node_id: nodeId(account.kind, account.id),
    url,
    repos_url: `${url}/repos`,
    events_url: `${url}/events`,
    hooks_url: `${url}/hooks`,
    issues_url: `${url}/issues`,
    members_url: `${url}/members{/member}`,
    public_members_url: `${url}/public_members{/member}`,
    avatar_url: `${source.addresses.web}/avatars/u/${account.id}?v=4`,
    description: account.login,
  };
}

/** A repository in the long form, which satisfies every place where GitHub puts a repository. */
export function repositoryDocument(source: DocumentSource, repository: Repository): Document {
  const path = `${repository.owner}/${repository.name}`;
  const web = `${source.addresses.web}/${path}`;
  return {
    id: repository.id,
    node_id: nodeId("Repository", repository.id),
    name: repository.name,
    full_name: path,
    private: repository.private,
    owner: userDocument(source.addresses, accountOf(source.state, repository.owner)),
    html_url: web,
    description: `The emulated repository ${path}`,
    fork: false,
    ...repositoryAddresses(`${source.addresses.api}/repos/${path}`),
    git_url: `git://github.example/${path}.git`,
    ssh_url: `git@github.example:${path}.git`,
    clone_url: `${web}.git`,
    svn_url: web,
    homepage: null,
    mirror_url: null,
    created_at: timestamp(repository.createdAt),
    updated_at: timestamp(repository.createdAt),
    pushed_at: timestamp(repository.createdAt),
    ...repositoryCounts,
    language: "TypeScript",
    license: null,
    default_branch: repository.defaultBranch,
    visibility: repository.private ? "private" : "public",
  };
}

const repositoryCounts: Document = {
  size: 108,
  stargazers_count: 0,
  watchers_count: 0,
  forks_count: 0,
  open_issues_count: 0,
  forks: 0,
  open_issues: 0,
  watchers: 0,
  has_issues: true,
  has_projects: true,
  has_downloads: true,
  has_wiki: true,
  has_pages: false,
  has_discussions: false,
  archived: false,
  disabled: false,
  allow_forking: true,
  is_template: false,
  web_commit_signoff_required: false,
  topics: [],
};

function repositoryAddresses(url: string): Document {
  return {
    url,
    forks_url: `${url}/forks`,
    keys_url: `${url}/keys{/key_id}`,
    collaborators_url: `${url}/collaborators{/collaborator}`,
    teams_url: `${url}/teams`,
    hooks_url: `${url}/hooks`,
    issue_events_url: `${url}/issues/events{/number}`,
    events_url: `${url}/events`,
    assignees_url: `${url}/assignees{/user}`,
    branches_url: `${url}/branches{/branch}`,
    tags_url: `${url}/tags`,
    blobs_url: `${url}/git/blobs{/sha}`,
    git_tags_url: `${url}/git/tags{/sha}`,
    git_refs_url: `${url}/git/refs{/sha}`,
    git_commits_url: `${url}/git/commits{/sha}`,
    trees_url: `${url}/git/trees{/sha}`,
    statuses_url: `${url}/statuses/{sha}`,
    languages_url: `${url}/languages`,
    stargazers_url: `${url}/stargazers`,
    contributors_url: `${url}/contributors`,
    subscribers_url: `${url}/subscribers`,
    subscription_url: `${url}/subscription`,
    commits_url: `${url}/commits{/sha}`,
    comments_url: `${url}/comments{/number}`,
    issue_comment_url: `${url}/issues/comments{/number}`,
    contents_url: `${url}/contents/{+path}`,
    compare_url: `${url}/compare/{base}...{head}`,
    merges_url: `${url}/merges`,
    archive_url: `${url}/{archive_format}{/ref}`,
    downloads_url: `${url}/downloads`,
    issues_url: `${url}/issues{/number}`,
    pulls_url: `${url}/pulls{/number}`,
    milestones_url: `${url}/milestones{/number}`,
    notifications_url: `${url}/notifications{?since,all,participating}`,
    labels_url: `${url}/labels{/name}`,
    releases_url: `${url}/releases{/id}`,
    deployments_url: `${url}/deployments`,
  };
}
