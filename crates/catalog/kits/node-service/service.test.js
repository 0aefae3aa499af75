// What {{ name }} answers.

const assert = require("node:assert");
const net = require("node:net");
const { test } = require("node:test");
const { service } = require("./service.js");

const listening = (server) =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

async function get(path) {
  const server = service();
  const port = await listening(server);
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } });
  const body = await answer.json();
  server.close();
  return [answer.status, body];
}

test("it greets and lives", async () => {
  process.env.GREETING = "good day";
  assert.strictEqual((await get("/"))[1].service, "good day");
  assert.strictEqual((await get("/healthz"))[0], 200);
  assert.strictEqual((await get("/elsewhere"))[0], 404);
});

test("it is ready when what it needs answers", async () => {
  const database = net.createServer();
  const port = await listening(database);
  process.env.DATABASE_URL = `postgres://127.0.0.1:${port}`;
  assert.deepStrictEqual(await get("/readyz"), [200, { DATABASE_URL: true }]);
  await new Promise((resolve) => database.close(resolve));
  assert.deepStrictEqual(await get("/readyz"), [503, { DATABASE_URL: false }]);
  delete process.env.DATABASE_URL;
});
