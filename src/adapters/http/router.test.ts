import { expect, test } from "vitest";
import type { HttpRequest } from "../../ports/http.ts";
import { jsonResponse } from "./refusal.ts";
import { createRouter } from "./router.ts";

const router = createRouter([
  { method: "GET", path: "/", handle: () => jsonResponse(200, "page", { "cache-control": "no-cache" }) },
  { method: "GET", path: "/api/jobs/:id", handle: (_request, { id }) => jsonResponse(200, id) },
  { method: "POST", path: "/hook", bodyLimitBytes: 25_000_000, handle: () => jsonResponse(202, "taken") },
  { method: "GET", path: "/hook", handle: () => jsonResponse(200, "hook") },
]);

test.each([
  ["GET", "/", 200, '"page"'],
  ["HEAD", "/", 200, '"page"'],
  ["GET", "/api/jobs/7%2F8", 200, '"7/8"'],
  ["POST", "/hook", 202, '"taken"'],
  ["GET", "/api/jobs/", 404, "There is nothing at this path."],
  ["GET", "/api/jobs/1/2", 404, "There is nothing at this path."],
  ["GET", "//", 404, "There is nothing at this path."],
  ["GET", "/api/jobs/%zz", 400, "The path is not percent-encoded properly."],
  ["DELETE", "/hook", 405, "Use POST or GET or HEAD."],
])("%s %s gets %i", async (method, path, status, text) => {
  const response = await router.handle(request(method, path));
  expect(response.status).toBe(status);
  expect(response.body).toContain(text);
});

test("a wrong method is told the right ones", async () => {
  expect((await router.handle(request("PUT", "/"))).headers.allow).toBe("GET, HEAD");
});

test("every answer has the security headers, and a route may choose its own", async () => {
  const missing = await router.handle(request("GET", "/nowhere"));
  expect(missing.headers).toMatchObject({ "x-content-type-options": "nosniff", "cache-control": "no-store" });
  expect((await router.handle(request("GET", "/"))).headers["cache-control"]).toBe("no-cache");
});

test("the limit of a path is the largest of its routes, and small where there is none", () => {
  expect(router.bodyLimitBytes("/hook")).toBe(25_000_000);
  expect(router.bodyLimitBytes("/api/jobs/1")).toBe(65_536);
  expect(router.bodyLimitBytes("/nowhere")).toBe(65_536);
});

function request(method: string, path: string): HttpRequest {
  return { method, path, query: "", headers: {}, body: new Uint8Array(), remoteAddress: "" };
}
