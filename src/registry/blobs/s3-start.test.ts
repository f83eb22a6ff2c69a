// What is no bucket of ours, by what answers: a real service, and servers that are none.

import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import type { S3Settings } from "./s3-settings.ts";
import { S3BlobStore } from "./s3-store.ts";

let service: S3Service;
const servers: Server[] = [];
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(async () => {
  for (const server of servers) server.close();
  await service?.stop();
});

const open = async (settings: Partial<S3Settings>) => (await S3BlobStore.open({ ...service.settings, ...settings })).close();

async function answering(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each<[string, (endpoint: string) => Partial<S3Settings>, string, RegExp]>([
  [
    "another region",
    () => ({ region: "eu-west-1" }),
    "BucketRegionWrong",
    /in another region than eu-west-1: set storage\.s3\.region: us-east-1/,
  ],
  ["an unknown host", () => ({ endpoint: "http://no-such-host.invalid" }), "BucketUnreachable", /nobody knows that host/],
  ["https where there is http", (at) => ({ endpoint: at.replace("http:", "https:") }), "BucketUnreachable", /speaks no TLS; write http:/],
  [
    "an access key that nobody has",
    () => ({ credentials: { accessKeyId: "nobody", secretAccessKey: "x" } }),
    "BucketKeyRefused",
    /nobody there has this access key/,
  ],
])("%s", async (_, settings, reason, message) => {
  await expect(open(settings(service.settings.endpoint ?? ""))).rejects.toMatchObject({
    reason,
    message: expect.stringMatching(message) as string,
  });
});

test.each<[string, number, string, string]>([
  ["a page", 200, "text/html", "<html><body>Welcome<br></body></html>"],
  ["a page that is also XML", 200, "text/html", "<html><body>Welcome</body></html>"],
  ["a page that says no", 404, "text/html", "<html><body>Nothing<br></body></html>"],
  ["an API's refusal", 403, "application/json", '{"errors":[]}'],
])("%s is no S3 service", async (_, status, type, body) => {
  const endpoint = await answering((_request, response) => response.writeHead(status, { "content-type": type }).end(body));
  const expected = { reason: "NoS3Service", message: `${endpoint} does not answer as an S3 service does: correct storage.s3.endpoint.` };
  await expect(open({ endpoint })).rejects.toMatchObject(expected);
});
