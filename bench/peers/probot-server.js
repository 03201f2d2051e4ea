import { createServer } from "node:http";
import { createNodeMiddleware, createProbot } from "probot";

// The peer: a Probot app that takes `workflow_job` and does nothing with it. It logs warnings only, which is to its
// advantage. Speaks the protocol of ../child.ts.

const { secret, privateKey } = JSON.parse(process.argv[2] ?? "{}");

const probot = createProbot({ overrides: { appId: 12345, privateKey, secret, logLevel: "warn" } });
let received = 0;
const app = (events) => {
  events.on("workflow_job.queued", () => {
    received += 1;
  });
};
const middleware = await createNodeMiddleware(app, { probot, webhooksPath: "/webhook" });
const server = createServer((request, response) => {
  middleware(request, response, () => response.writeHead(404).end());
});

process.on("message", (question) => {
  if (question.kind === "stop") process.exit();
  process.send({ received });
});
process.on("disconnect", () => process.exit(1));
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
