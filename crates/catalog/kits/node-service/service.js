#!/usr/bin/env node
// {{ name }}: answers on PORT, and says whether what it needs answers.

const http = require("node:http");
const net = require("node:net");

// What the platform may give it: see score.yaml.
const NEEDS = ["DATABASE_URL", "MYSQL_URL", "REDIS_URL", "AMQP_URL", "S3_ENDPOINT"];
const PORTS = {
  "postgres:": 5432,
  "postgresql:": 5432,
  "mysql:": 3306,
  "redis:": 6379,
  "amqp:": 5672,
  "http:": 80,
  "https:": 443,
};

// Whether the server of `url` takes a connection.
function answers(url) {
  const at = new URL(url);
  return new Promise((resolve) => {
    const port = Number(at.port) || PORTS[at.protocol];
    const socket = net.connect({ host: at.hostname, port, timeout: 2000 });
    const end = (answered) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

// What it needs, each with whether it answers.
async function needs() {
  const names = NEEDS.filter((name) => process.env[name]);
  const found = await Promise.all(names.map((name) => answers(process.env[name])));
  return Object.fromEntries(names.map((name, index) => [name, found[index]]));
}

// Your work begins here.
async function handle(path) {
  if (path === "/") {
    return [200, { service: process.env.GREETING || "hello", needs: await needs() }];
  }
  if (path === "/healthz") {
    return [200, { status: "ok" }];
  }
  if (path === "/readyz") {
    const found = await needs();
    return [Object.values(found).every(Boolean) ? 200 : 503, found];
  }
  return [404, { error: "there is nothing at " + path }];
}

function service() {
  return http.createServer(async (request, response) => {
    const [status, body] = await handle(request.url);
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
}

if (require.main === module) {
  const server = service();
  const port = Number(process.env.PORT || 8080);
  server.listen(port, process.env.HOST || "127.0.0.1", () => console.log("listening on port", port));
  // What is asked to end finishes what is under way.
  process.on("SIGTERM", () => server.close());
}

module.exports = { service };
