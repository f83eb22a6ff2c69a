import { once } from "node:events";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { Transport } from "./transport.ts";

let folder: string;
let server: Server;
let shown: (string | undefined)[];
let transport: Transport;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "token-"));
  shown = [];
  server = createServer((request, response) => {
    shown.push(request.headers.authorization);
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  transport = new Transport({ url, tokenFile: join(folder, "token") });
});
afterAll(async () => {
  await transport.close();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

test("a token of a file is the one that is there now, as the kubelet swaps it; without one nothing is sent", async () => {
  const ask = () => transport.send({ method: "GET", path: "/" });
  await expect(ask()).rejects.toMatchObject({ code: "Unauthorized", temporary: true, message: expect.stringContaining("ENOENT") });
  for (const token of ["first", "second"]) {
    await writeFile(join(folder, token), `${token}\n`);
    await symlink(token, join(folder, "next"));
    await rename(join(folder, "next"), join(folder, "token"));
    await ask();
  }
  expect(shown).toEqual(["Bearer first", "Bearer second"]);
});
