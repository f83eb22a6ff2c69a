import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";

import { expect, test } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { limitPipelining, mostUnanswered } from "./pipelining.ts";

async function serve(answer: (response: ServerResponse) => void) {
  const asked: string[] = [];
  const refused: unknown[] = [];
  const server = createServer(
    limitPipelining(
      (request, response) => {
        asked.push(request.url ?? "");
        answer(response);
      },
      (address) => refused.push(address),
    ),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  const stop = () => {
    socket.destroy();
    server.close();
    return once(server, "close");
  };
  return { asked, refused, socket, stop };
}

const gets = (count: number) => Array.from({ length: count }, (_, n) => `GET /${n} HTTP/1.1\r\nhost: localhost\r\n\r\n`).join("");

test("a connection that asks for too much before it is answered ends, and nothing more is begun", async () => {
  const { asked, refused, socket, stop } = await serve(() => {});
  const closed = once(socket, "close");
  socket.write(gets(1000));
  await closed;
  expect(asked).toHaveLength(mostUnanswered);
  expect(refused).toEqual(["127.0.0.1"]);
  await stop();
});

test("as many as may be are answered in their order, and as many again behind them", async () => {
  const { asked, socket, stop } = await serve((response) => setImmediate(() => response.end("here\n")));
  let answers = "";
  socket.on("data", (chunk) => (answers += String(chunk)));
  for (const round of [1, 2, 3]) {
    socket.write(gets(mostUnanswered));
    await eventually(() => expect(answers.split("here\n").length - 1).toBe(round * mostUnanswered));
  }
  expect(asked).toHaveLength(3 * mostUnanswered);
  await stop();
});
