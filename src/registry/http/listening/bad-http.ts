// What is no HTTP at all (or two kinds of it at once, or not TLS where that is spoken) never reaches a route. The connection ends with the answer:
// nobody knows where a next request would begin.

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { errorBody } from "../errors.ts";

/** Blobs are anybody's bytes: no browser may take them for a page. */
export const noSniffing = ["x-content-type-options", "nosniff"] as const;

interface Refusal {
  readonly status: number;
  readonly phrase: string;
  readonly message: string;
}

const refusals: Readonly<Record<string, Refusal>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, phrase: "Request Timeout", message: "The headers of the request did not come in time." },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    phrase: "Request Header Fields Too Large",
    message: "The headers of the request are larger than 16 KiB.",
  },
};
const noHttp: Refusal = { status: 400, phrase: "Bad Request", message: "The request is not valid HTTP/1.1." };
const noTls: Refusal = { status: 400, phrase: "Bad Request", message: "This port speaks TLS: write https:// where you wrote http://." };

/** For `clientError` of a server. */
export function answerBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  const running = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage;
  if (!socket.writable || error.code === "ECONNRESET" || running?.headersSent === true) socket.destroy();
  else endWith(socket, refusals[error.code ?? ""] ?? noHttp);
}

/** Milliseconds in which a client may go on sending what nobody reads. */
const lingersFor = 5_000;

/** To who speaks something else on a port that speaks TLS; HTTP most likely, and a layer may be under way: cut off, its sender would not read this. */
export function answerNoTls(socket: Socket): void {
  const cut = setTimeout(() => socket.destroy(), lingersFor);
  socket.once("close", () => clearTimeout(cut)).once("end", () => socket.destroySoon());
  socket.resume().end(written(noTls));
}

function endWith(socket: Socket, refusal: Refusal): void {
  socket.end(written(refusal), () => socket.destroySoon());
}

function written({ status, phrase, message }: Refusal): string {
  const body = JSON.stringify(errorBody("INVALID", message));
  const head = [
    `HTTP/1.1 ${status} ${phrase}`,
    "connection: close",
    "content-type: application/json",
    noSniffing.join(": "),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}
