/*
 * The App that Mayfly asks GitHub to make: what it may do, what it is told, and the page that sends a browser there.
 * How GitHub makes an App from a manifest: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
 */

export interface AppWishes {
  readonly name: string;
  /** Where runners are registered. */
  readonly scope: "organization" | "repository";
  /** Where GitHub sends deliveries. */
  readonly webhookUrl: string;
  /** Where GitHub sends the browser back to, with a code. */
  readonly redirectUrl: string;
  /** The App's own page. */
  readonly homepageUrl: string;
}

/** The manifest: least permissions for what Mayfly does, not more. */
export function appManifest(wishes: AppWishes): object {
  return {
    name: wishes.name,
    url: wishes.homepageUrl,
    description: "Gives every job a machine that was made for it and dies with it.",
    public: false,
    redirect_url: wishes.redirectUrl,
    hook_attributes: { url: wishes.webhookUrl, active: true },
    default_permissions: {
      actions: "write",
      checks: "write",
      metadata: "read",
      ...(wishes.scope === "organization"
        ? { organization_self_hosted_runners: "write" }
        : { administration: "write" }),
    },
    default_events: ["workflow_job"],
  };
}

/** Where a manifest is posted to: the settings of an organisation, or of whoever is signed in. */
export function registrationUrl(server: string, organization: string | undefined, state: string): string {
  const path =
    organization === undefined
      ? "/settings/apps/new"
      : `/organizations/${encodeURIComponent(organization)}/settings/apps/new`;
  return `${server.replace(/\/+$/, "")}${path}?state=${encodeURIComponent(state)}`;
}

/** A page that posts the manifest by itself, and by a button where scripts are off. */
export function registrationPage(action: string, manifest: object): string {
  return page(
    "Mayfly: make the GitHub App",
    `<form id="registration" method="post" action="${escapeHtml(action)}">
<input type="hidden" name="manifest" value="${escapeHtml(JSON.stringify(manifest))}">
<p>GitHub asks whether the App is to be made.</p>
<button>Go on to GitHub</button>
</form>
<script>document.getElementById("registration").submit()</script>`,
  );
}

/** What the browser shows at the end. */
export function messagePage(title: string, sentence: string): string {
  return page(title, `<p>${escapeHtml(sentence)}</p>`);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}</style>
</head><body><h1>${escapeHtml(title)}</h1>
${body}
</body></html>
`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
