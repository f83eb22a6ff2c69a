import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { afterEach, expect, test } from "vitest";

import { HttpError } from "./errors.ts";
import { bodyBudget, readBody, withWholeBody, type BodyLimits } from "./request-body.ts";

const patient: BodyLimits = { stallTimeout: 10_000, leastRate: 0, rateWindow: 60_000 };
let server: Server | undefined;
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server?.closeAllConnections();
  server?.close();
});

/** Answers each request with what reading its body came to. */
async function serve(limits: BodyLimits, take: (body: AsyncIterable<Uint8Array>) => Promise<string>): Promise<number> {
  server = createServer();
  const answer = (request: Parameters<typeof readBody>[0], response: Parameters<typeof readBody>[1]) => {
    void take(readBody(request, response, limits)).then(
      (text) => response.end(text),
      (error: Error) => response.end(error instanceof HttpError ? error.code : error.message),
    );
  };
  server.on("request", answer);
  server.on("checkContinue", answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function open(port: number, text: string): { socket: Socket; received: () => string } {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let received = "";
  socket.on("data", (chunk) => (received += chunk.toString()));
  socket.on("error", () => {});
  socket.write(text);
  return { socket, received: () => received };
}

const polling = { interval: 5 };

const whole = async (bytes: Uint8Array) => bytes;

const count = async (body: AsyncIterable<Uint8Array>) => {
  let size = 0;
  for await (const chunk of body) size += chunk.length;
  return `took ${size}`;
};

test("a body arrives whole, with a length or in chunks", async () => {
  const port = await serve(patient, count);
  const long = open(port, `PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n${"x".repeat(200_000)}`);
  await expect.poll(long.received, polling).toContain("took 200000");
  const chunked = open(port, "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  await expect.poll(chunked.received, polling).toContain("took 5");
});

test("silence is cut", async () => {
  const port = await serve({ ...patient, stallTimeout: 50 }, count);
  const { received } = open(port, "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc");
  await expect.poll(received, polling).toContain("BODY_STALLED");
});

test("so is a trickle that never falls silent", async () => {
  const port = await serve({ stallTimeout: 10_000, leastRate: 1_000_000, rateWindow: 100 }, count);
  const { socket, received } = open(port, "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n");
  const trickle = setInterval(() => socket.write("x"), 5);
  await expect.poll(received, polling).toContain("BODY_STALLED");
  clearInterval(trickle);
});

test("a slow consumer is not the sender's fault", async () => {
  const port = await serve({ stallTimeout: 500, leastRate: 100_000, rateWindow: 500 }, async (body) => {
    let size = 0;
    for await (const chunk of body) {
      size += chunk.length;
      await sleep(600);
    }
    return `took ${size}`;
  });
  const { received } = open(port, `PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 150000\r\n\r\n${"x".repeat(150_000)}`);
  await expect.poll(received, polling).toContain("took 150000");
});

test("whoever stops reading can still answer", async () => {
  const port = await serve(patient, async (body) => {
    for await (const chunk of body) return `stopped after ${chunk.length > 0}`;
    return "";
  });
  const { received } = open(port, `PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n${"x".repeat(70_000)}`);
  await expect.poll(received, polling).toContain("stopped after true");
});

test("100-continue is said when the body is asked for, and only then", async () => {
  const port = await serve(patient, async (body) => {
    await sleep(50);
    return count(body);
  });
  const { socket, received } = open(port, "PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
  await expect.poll(received, polling).toBe("HTTP/1.1 100 Continue\r\n\r\n");
  socket.write("abc");
  await expect.poll(received, polling).toContain("took 3");
});

test("a whole body has a limit", async () => {
  const port = await serve(
    patient,
    async (body) => `took ${(await withWholeBody({ chunks: body, limit: 4, sender: "a" }, whole))?.length}`,
  );
  for (const [text, expected] of [
    ["", "took 0"],
    ["abcd", "took 4"],
    ["abcde", "took undefined"],
  ] as const) {
    const { received } = open(port, `PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
    await expect.poll(received, polling).toContain(expected);
  }
});

const piece = async function* (size: number, ready?: Promise<unknown>) {
  yield Buffer.alloc(size);
  await ready;
};

test("whole bodies share a budget, and give back what they took", async () => {
  const budget = bodyBudget(160_000);
  const take = async (sender: string, size: number, ready?: Promise<unknown>, use = whole) =>
    (await withWholeBody({ chunks: piece(size, ready), limit: 40_000, sender }, use, budget))?.length;
  const busy = { code: "UNAVAILABLE", retryAfter: 2, message: expect.stringMatching(/^Too many/) as unknown };
  const gate = Promise.withResolvers<void>();
  const slow = ["a", "b", "c"].map((sender) => take(sender, 40_000, gate.promise));
  const rest = take("d", 30_000, gate.promise);
  await expect(take("e", 20_000)).rejects.toMatchObject(busy);
  gate.resolve();
  expect(await Promise.all([...slow, rest])).toEqual([40_000, 40_000, 40_000, 30_000]);
  expect(await take("e", 40_001)).toBe(undefined);
  expect(await take("e", 40_000)).toBe(40_000);

  // Bytes that arrived are held until whoever they are for is done with them, well or badly.
  const used = Promise.withResolvers<Uint8Array>();
  const using = ["a", "b", "c", "d"].map((sender) => take(sender, 40_000, undefined, () => used.promise));
  const settled = Promise.allSettled(using);
  await expect(take("e", 10_000)).rejects.toMatchObject(busy);
  used.reject(new Error("refused"));
  expect((await settled).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => "rejected"));
  expect(await take("e", 40_000)).toBe(40_000);
});

test("one sender has a quarter of it, and the others theirs", async () => {
  const budget = bodyBudget(160_000);
  const gate = Promise.withResolvers<void>();
  const take = (sender: string, size: number) => withWholeBody({ chunks: piece(size, gate.promise), limit: size, sender }, whole, budget);
  const first = take("a", 30_000);
  await expect(take("a", 20_000)).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/^You are/) as unknown });
  const other = take("b", 40_000);
  gate.resolve();
  expect([(await first)?.length, (await other)?.length]).toEqual([30_000, 40_000]);
  expect((await take("a", 40_000))?.length).toBe(40_000);
});

test("what is held in memory has a total time, however lively it comes", async () => {
  const port = await serve({ ...patient, totalTime: 150 }, count);
  const { socket, received } = open(port, "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n");
  const trickle = setInterval(() => socket.write("x".repeat(10)), 5);
  await expect.poll(received, polling).toContain("MANIFEST_LATE");
  clearInterval(trickle);
});
