// node tls-server.ts VERSION CERTIFICATE KEY: HTTP/1.1 or HTTP/2 over TLS, answers from memory as a registry sends blobs: by the write callback.

import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

const [version, certificate = "", key = ""] = process.argv.slice(2);
const pair = { cert: readFileSync(certificate), key: readFileSync(key) };
const small = Buffer.alloc(1024, 1);
const part = Buffer.alloc(1024 * 1024, 1);
const parts = 64;

const handle: RequestListener = (request, response) => {
  const large = request.url === "/large";
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": large ? parts * part.length : small.length });
  if (!large) return void response.end(small);
  let left = parts;
  const next = () => (left-- === 0 ? response.end() : response.write(part, next));
  next();
};
const server = version === "2" ? createSecureServer(pair, handle as never) : createServer(pair, handle);
server.listen(0, "127.0.0.1", () => process.stdout.write(`Serving on https://127.0.0.1:${(server.address() as AddressInfo).port}\n`));
