import { existsSync, readFileSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createSystemClock } from "../src/adapters/clock/system.ts";
import { type HttpServer, startHttpServer } from "../src/adapters/http/node.ts";
import { jsonResponse, refusal } from "../src/adapters/http/refusal.ts";
import { createRouter, type Route } from "../src/adapters/http/router.ts";
import { createMemoryLog } from "../src/adapters/log/memory.ts";
import type { StatusDocument } from "../src/core/status.ts";
import { createStatusEvents } from "../src/dashboard/events.ts";
import { dashboardAssets } from "../src/dashboard/serve.ts";
import type { HttpHandler } from "../src/ports/http.ts";
import {
  before,
  busyStatus,
  emptyStatus,
  endedJob,
  imageStatus,
  jobStatus,
  machineStatus,
  problemStatus,
  runningJob,
  whyDocument,
} from "./dashboard-scenes.ts";

const faintTextsScript = readFileSync(new URL("./support/faint-texts.js", import.meta.url), "utf8");

const chromiumPath = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

// Only where it says something: a test that is skipped because all is well would be counted among those left out.
if (chromiumPath === undefined) {
  test.skip("the tests of the page are left out: there is no Chromium (install it, or set CHROMIUM_PATH)");
}

describe.skipIf(chromiumPath === undefined)("the page in Chromium", () => {
  let browser: Browser;
  let server: HttpServer | undefined;
  let visited: Visit[] = [];

  beforeAll(async () => {
    const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
    browser = await chromium.launch({
      ...(chromiumPath === undefined ? {} : { executablePath: chromiumPath }),
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", ...quiet],
    });
  });

  afterEach(async () => {
    for (const visit of visited) await visit.page.context().close();
    visited = [];
    await server?.close();
    server = undefined;
  });

  afterAll(() => browser.close());

  async function open(source: Source, options: BrowserContextOptions = {}, hash = ""): Promise<Visit> {
    server ??= await serve(source);
    const visit = await visitPage(browser, server.url, options, hash);
    visited.push(visit);
    return visit;
  }

  test("shows what runs, what waits and why, the machines, the waits and the cost", async () => {
    const visit = await open({ status: busyStatus(12) });
    const { page } = visit;
    await live(page);
    expect(await page.locator("#running tbody tr").count()).toBe(8);
    expect(await page.locator("#waiting tbody tr").first().innerText()).toContain(
      "A machine is booting for it.",
    );
    expect(await page.locator("#machines tbody tr").first().innerText()).toContain("busy");
    expect(await page.locator("#refused tbody").innerText()).toContain("anyone could run code here");
    expect(await page.locator("#wait-p95").innerText()).toBe("42 s");
    expect(await page.locator("#wait-note").innerText()).toContain("GitHub’s part: p50 0.9 s");
    expect(await page.locator("#cost-note").innerText()).toContain("GitHub-hosted $88.64");
    expect(await page.locator("#chart-started").getAttribute("aria-label")).toMatch(
      /jobs started in the last hour/,
    );
    expect(await page.locator("#problems").isVisible()).toBe(false);
    expectClean(visit);
  });

  test("shows images, where any are built: what fails and why, what is tried, what a scan found", async () => {
    const source: Source = { status: busyStatus(3) };
    const visit = await open(source);
    const { page } = visit;
    await live(page);
    expect(await page.locator("#images").isVisible()).toBe(false);
    const failed = { state: "failed", reason: "CodeBuild says FAILED", waitingJobs: 3, scan: null } as const;
    const trial = { reference: "mayfly:02cd", builtAt: before(60), worked: 2, failed: 1 };
    source.status = {
      ...source.status,
      images: [imageStatus({ trial }), imageStatus({ ...failed, base: "debian:12" })],
    };
    await expect.poll(() => page.locator("#images tbody tr").count()).toBe(2);
    const [tried, broken] = await page.locator("#images tbody tr").allInnerTexts();
    expect(tried).toMatch(/ubuntu:24.04 · x86_64.*2 worked and 1 did not · 1 high in its scan.*on trial/s);
    expect(broken).toMatch(/debian:12.*CodeBuild says FAILED · 3 jobs wait for it.*failed/s);
    expectClean(visit);
  });

  test("follows what happens, and leaves the focus and the place of the reader alone", async () => {
    const source: Source = { status: busyStatus(60) };
    const { page } = await open(source, { viewport: { width: 900, height: 500 } });
    await live(page);
    await page.locator("#waiting a[href='#job-4']").focus();
    await page.evaluate("scrollBy(0, 300)");
    const place = Number(await page.evaluate("scrollY"));

    const first = jobStatus({ id: 777, name: "brand new", waitsFor: "The budget of today is used up." });
    const [, ...rest] = source.status.activeJobs;
    source.status = { ...source.status, activeJobs: [...rest, first], problems: ["The disk is full."] };
    await expect.poll(() => page.locator("#problems").innerText()).toContain("The disk is full.");

    expect(await page.evaluate("document.activeElement.hash")).toBe("#job-4");
    expect(await page.locator("a[href='#job-1']").count()).toBe(0);
    expect(Math.abs(Number(await page.evaluate("scrollY")) - place)).toBeLessThan(140);
    expect(await page.title()).toMatch(/^! /);
  });

  test("says since when it is not connected, and comes back by itself", async () => {
    const source: Source = { status: busyStatus(3) };
    const { page } = await open(source);
    await live(page);
    const { port } = server as HttpServer;
    await server?.close();
    await expect
      .poll(() => page.locator("#connection").innerText())
      .toMatch(/^Not connected since \d\d:\d\d/);
    expect(await page.locator("#running tbody tr").count()).toBe(2);
    source.status = busyStatus(6);
    server = await serve(source, port);
    await live(page, 8000);
    await expect.poll(() => page.locator("#running tbody tr").count()).toBe(4);
  });

  test("opens the steps of a job with the keyboard, and gives the focus back", async () => {
    const visit = await open({ status: busyStatus(6) });
    const { page } = visit;
    await live(page);
    await page.locator("#running a[href='#job-3']").focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#why-steps li").count()).toBe(5);
    expect(await page.locator("#why-steps").innerText()).toContain("The machine claimed it");
    expect(await page.locator("#why-next").innerText()).toContain("longer than 60 minutes");
    const links = page.locator("#why-links a");
    expect(await links.first().getAttribute("href")).toBe(
      "https://github.com/acme/rocket/actions/runs/7/job/1",
    );
    expect(await links.nth(1).getAttribute("href")).toBe("https://github.com/acme/payments-service");
    await page.keyboard.press("Escape");
    await expect.poll(() => page.locator("#why").isVisible()).toBe(false);
    expect(await page.evaluate("document.activeElement.hash")).toBe("#job-3");
    expect(await page.evaluate("location.hash")).toBe("");
    expectClean(visit);
  });

  test("opens the job that its address names, and says when there is none", async () => {
    const { page } = await open({ status: busyStatus(6) }, {}, "#job-424242");
    await expect.poll(() => page.locator("#why-summary").innerText()).toContain("No job has this id.");
  });

  test("asks for a token, says when it is wrong, and remembers it for this tab only", async () => {
    const { page, requests } = await open({ status: busyStatus(3), token: "right-token" });
    await page.locator("#token").waitFor();
    expect(await page.evaluate("document.activeElement.id")).toBe("token-value");
    expect(await page.locator("#status").isVisible()).toBe(false);
    await page.keyboard.type("wrong-token");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#token-error").innerText()).toContain("not accepted");
    await page.locator("#token-value").fill("right-token");
    await page.keyboard.press("Enter");
    await live(page);
    await page.reload();
    await live(page);
    expect(await page.evaluate("localStorage.length")).toBe(0);
    expect(requests.filter((url) => url.includes("token"))).toEqual([]);
  });

  test("says what the server says where no token would help", async () => {
    const { page } = await open({ status: emptyStatus(), isClosed: true });
    const sentence = "Only this machine may read. Set a token.";
    await expect.poll(() => page.locator("#token-error").innerText()).toBe(sentence);
  });

  test("asks again when its token is no longer accepted", async () => {
    const source: Source = { status: busyStatus(3), token: "old-token" };
    const { page } = await open(source);
    await page.locator("#token-value").fill("old-token");
    await page.keyboard.press("Enter");
    await live(page);
    source.token = "new-token";
    await page.locator("#running a").first().click();
    await expect
      .poll(() => page.locator("#token-error").innerText())
      .toBe("The token is no longer accepted.");
    // The stream that began with the old token is still open at the server: it must not bring the page back.
    source.status = busyStatus(9);
    await page.waitForTimeout(400);
    expect(await page.locator("#status").isVisible()).toBe(false);
    await page.locator("#token-value").fill("new-token");
    await page.keyboard.press("Enter");
    await live(page);
    expect(await page.locator("#running tbody tr").count()).toBe(6);
  });

  test("shows strangers' text as text, whatever it is", async () => {
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    const backwards = "\u202Eexe.tset \u05D0\u05D1\u05D2";
    const labels = [hostile, "x".repeat(256), backwards, "\u{1F98B}".repeat(60)];
    const job = { name: hostile, workflow: backwards, repository: `acme/${"y".repeat(100)}`, labels };
    const bad = jobStatus({ ...job, id: 5, url: "javascript:document.title='owned'", waitsFor: hostile });
    const visit = await open(
      {
        status: emptyStatus({
          problems: [hostile],
          activeJobs: [bad, runningJob(6, { ...job, machine: "m".repeat(64) })],
          recentJobs: [
            endedJob(7, hostile, job),
            endedJob(8, "refused", { ...job, because: "no-preset", detail: hostile }),
          ],
          activeMachines: [machineStatus("m".repeat(64), { pool: hostile, detail: hostile })],
          presets: [{ name: "z".repeat(80), compute: hostile, labels, machines: 1, max: 2, status: "ready" }],
        }),
      },
      { viewport: { width: 360, height: 700 } },
      "#job-5",
    );
    const { page } = visit;
    await live(page);
    await expect.poll(() => page.locator("#why-steps li").count()).toBe(5);
    expect(await page.locator("#why-title").innerText()).toBe(hostile);
    expect(await page.locator("#why-labels").innerText()).toContain(hostile);
    expect(await page.locator("#why-links a[href]").count()).toBe(0);
    expect(await page.locator("main img, dialog img, dialog script, main script").count()).toBe(0);
    expect(await page.title()).not.toContain("owned");
    expect(await overflowPixels(page)).toBe(0);
    expectClean(visit);
  });

  test("runs nothing that is put into it, because its policy forbids it", async () => {
    const { page } = await open({ status: emptyStatus() });
    await live(page);
    const inject = `(() => {
      const script = document.createElement("script");
      try {
        script.textContent = "document.title = 'owned'";
      } catch (error) {
        return "refused: " + error;
      }
      document.body.append(script);
      return document.title;
    })()`;
    const result = await page.evaluate(inject);
    expect(result).toContain("refused: TypeError");
    const reach = `new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective));
      fetch("https://example.com/").catch(String);
    })`;
    expect(await page.evaluate(reach)).toBe("connect-src");
  });

  test.each([320, 390, 768])("fits a screen of %i pixels", async (width) => {
    const source = { status: problemStatus() };
    const { page } = await open(source, { viewport: { width, height: 800 } });
    await live(page);
    expect(await overflowPixels(page)).toBe(0);
    await page.locator("#running a").first().click();
    await expect.poll(() => page.locator("#why-steps li").count()).toBe(5);
    expect(await overflowPixels(page)).toBe(0);
  });

  test.each(["light", "dark"] as const)("has enough contrast in %s", async (colorScheme) => {
    const shown = await open({ status: problemStatus() }, { colorScheme });
    await live(shown.page);
    expect(await faintTexts(shown.page)).toEqual([]);
    await shown.page.locator("#running a").first().click();
    await expect.poll(() => shown.page.locator("#why-steps li").count()).toBe(5);
    expect(await faintTexts(shown.page)).toEqual([]);
    await server?.close();
    await expect
      .poll(() => shown.page.locator("#connection").getAttribute("data-state"))
      .toBe("reconnecting");
    expect(await faintTexts(shown.page)).toEqual([]);

    server = undefined;
    const locked = await open({ status: emptyStatus(), token: "t" }, { colorScheme });
    await locked.page.locator("#token-value").fill("wrong");
    await locked.page.keyboard.press("Enter");
    await expect.poll(() => locked.page.locator("#token-error").innerText()).not.toBe("");
    expect(await faintTexts(locked.page)).toEqual([]);
  });

  test("the measure of contrast finds a text that is too faint", async () => {
    const { page } = await open({ status: emptyStatus() });
    await live(page);
    await page.evaluate("document.querySelector('#updated').style.color = '#999'");
    expect(await faintTexts(page)).toHaveLength(1);
  });

  test("stays quick with a thousand jobs, and shows more when asked", async () => {
    const source: Source = { status: busyStatus(1000) };
    const { page } = await open(source);
    await live(page);
    expect(await page.locator("#waiting tbody tr").count()).toBe(20);
    expect(await page.locator("#waiting .more").innerText()).toBe("and 314 more");
    await page.locator("#waiting .more").click();
    expect(await page.locator("#waiting tbody tr").count()).toBe(120);

    await page.evaluate(`
      globalThis.longTasks = [];
      const note = (list) => longTasks.push(...list.getEntries().map((entry) => entry.duration));
      new PerformanceObserver(note).observe({ entryTypes: ["longtask"] });
    `);
    source.status = { ...busyStatus(1000), problems: ["Now."] };
    await expect.poll(() => page.locator("#problems").isVisible()).toBe(true);
    const longest = await page.evaluate("Math.max(0, ...longTasks)");
    expect(longest).toBeLessThan(500);
  });
});

test("the files of the page have types, a policy, and an answer without a body for who has them", async () => {
  const assets = await dashboardAssets();
  for (const { path, handle } of assets) {
    const ask = (headers: Record<string, string>) =>
      handle({ method: "GET", path, query: "", headers, body: new Uint8Array(), remoteAddress: "" });
    const whole = await ask({});
    expect(whole.status).toBe(200);
    expect(whole.headers["content-type"]).toMatch(
      /^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/,
    );
    expect(whole.headers["content-security-policy"]).toContain("default-src 'none'");
    const again = await ask({ "if-none-match": `W/${whole.headers.etag}` });
    expect(again).toMatchObject({ status: 304, headers: { etag: whole.headers.etag } });
    expect(again.body).toBeUndefined();
    expect((await ask({ "if-none-match": '"other"' })).status).toBe(200);
  }
  expect(assets.map((asset) => asset.path)).toContain("/");
});

// ----------------------------------------------------------------------------------------------- the server

interface Source {
  status: StatusDocument;
  token?: string;
  isClosed?: true;
}

async function serve(source: Source, port = 0): Promise<HttpServer> {
  const log = createMemoryLog();
  const readStatus = async () => source.status;
  const events = createStatusEvents({ readStatus, clock: createSystemClock(), log, intervalSeconds: 0.1 });
  const guarded =
    (handle: HttpHandler): HttpHandler =>
    (request) => {
      if (source.isClosed) return refusal(403, "Only this machine may read.", "Set a token.");
      const isAllowed =
        source.token === undefined || request.headers.authorization === `Bearer ${source.token}`;
      return isAllowed ? handle(request) : refusal(401, "The token is wrong.", "Send the right one.");
    };
  const assets = (await dashboardAssets()).map((asset): Route => ({ method: "GET", ...asset }));
  const router = createRouter([
    ...assets,
    { method: "GET", path: "/api/events", handle: guarded(events) },
    { method: "GET", path: "/api/status", handle: guarded(() => jsonResponse(200, source.status)) },
    { method: "GET", path: "/api/jobs/:id", handle: guarded((request) => answerWhy(source, request.path)) },
  ]);
  const limits = { bodyLimitBytes: router.bodyLimitBytes, closeGraceSeconds: 1 };
  return startHttpServer({ host: "127.0.0.1", port, handle: router.handle, log, limits });
}

function answerWhy(source: Source, path: string) {
  const id = Number(path.split("/").at(-1));
  const job = [...source.status.activeJobs, ...source.status.recentJobs].find((known) => known.id === id);
  if (job === undefined) return refusal(404, "No job has this id.", "Check the id.");
  return jsonResponse(200, whyDocument({ ...job, createdAt: before(92) }));
}

// ------------------------------------------------------------------------------------------------ the page

interface Visit {
  readonly page: Page;
  readonly origin: string;
  readonly requests: string[];
  readonly complaints: string[];
}

async function visitPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions,
  hash: string,
): Promise<Visit> {
  const page = await (await browser.newContext(options)).newPage();
  const visit: Visit = { page, origin, requests: [], complaints: [] };
  page.on("request", (request) => visit.requests.push(request.url()));
  page.on("pageerror", (error) => visit.complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") visit.complaints.push(message.text());
  });
  await page.goto(`${origin}/${hash}`);
  return visit;
}

function expectClean(visit: Visit): void {
  expect(visit.complaints).toEqual([]);
  expect(visit.requests.length).toBeGreaterThan(3);
  expect(visit.requests.filter((url) => !url.startsWith(`${visit.origin}/`))).toEqual([]);
}

async function live(page: Page, timeout = 4000): Promise<void> {
  await page.locator("#connection[data-state=live]").waitFor({ timeout });
  await page.locator("#status").waitFor({ timeout });
}

/** By how much the page, or the open panel, is wider than what is seen of it. */
function overflowPixels(page: Page): Promise<number> {
  return page.evaluate<number>(`Math.max(
    ...[document.documentElement, ...document.querySelectorAll("dialog[open]")].map(
      (box) => box.scrollWidth - box.clientWidth,
    ),
  )`);
}

/** Visible texts whose contrast is below AA. */
function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate<string[]>(faintTextsScript);
}
