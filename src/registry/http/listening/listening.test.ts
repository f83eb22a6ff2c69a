import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";

import { connectionLimit, reportDropped } from "./listening.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("connections get half of the descriptors, or a default where nobody says how many there are, and a quarter of the memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "limits-"));
  const file = join(folder, "limits");
  const head = "Limit                     Soft Limit           Hard Limit           Units     \n";
  for (const [line, expected] of [
    ["Max open files            1024                 524288               files     \n", 512],
    ["Max open files            unlimited            unlimited            files     \n", 10_000],
    ["", 10_000],
  ] as const) {
    await writeFile(file, `${head}${line}`);
    expect(connectionLimit(file, 64 * 1024 ** 3)).toBe(expected);
  }
  // What containerd gives a container, and the memory that the chart does.
  await writeFile(file, `${head}Max open files            1048576              1048576              files     \n`);
  expect(connectionLimit(file, 1024 ** 3)).toBe(4096);
  await rm(folder, { recursive: true });
  expect(connectionLimit(file, 64 * 1024 ** 3)).toBe(10_000);
});

test("connections that find no place are counted, and logged in one line", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const lines: { dropped: number; limit: number }[] = [];
  const server = createServer();
  server.maxConnections = 1;
  reportDropped(server, pino({}, { write: (line: string) => lines.push(JSON.parse(line) as (typeof lines)[0]) }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const open = async () => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const dropped = async (count: number) => {
    for (let n = 0; n < count; n++) await Promise.all([once(server, "drop"), open()]);
  };
  const [, kept] = await Promise.all([once(server, "connection"), open()]);
  await dropped(5);
  expect(lines).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(lines).toMatchObject([{ event: "connections-dropped", dropped: 5, limit: 1 }]);
  await dropped(2);
  kept.destroy();
  server.close();
  await once(server, "close");
  expect(lines.map((line) => line.dropped)).toEqual([5, 2]);
});
