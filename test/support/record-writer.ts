// A process that commits to a record as fast as it can and says each commit: to be killed. `node record-writer.ts FOLDER`, for a record at a
// remote with `REMOTE='{"url": …, "secret": {…}}'` in its environment.

import { createLogger } from "../../src/observability/logger.ts";
import { RecordError } from "../../src/record/errors.ts";
import { openRecord } from "../../src/record/repository.ts";

const given = JSON.parse(process.env["REMOTE"] ?? "null") as { url: string; secret: Record<string, string> } | null;
const secret = new Map(Object.entries(given?.secret ?? {}).map(([key, text]) => [key, Buffer.from(text)]));
const remote = given && {
  url: given.url,
  secret: { name: "default/git", read: () => secret },
  branch: "wharfinger",
  folder: "",
  interval: 1_000,
  timeout: 20_000,
};

const record = await openRecord({
  remote: remote ?? undefined,
  folder: process.argv[2] ?? "",
  author: { name: "Wharfinger", email: "wharfinger@localhost" },
  logger: createLogger({ level: "silent" }),
});
await record.refresh();
process.stdout.write("open\n");
for (let count = record.history.commit(record.view.head ?? "")?.index ?? 0; ; count++) {
  const files = ["a", "b", "c"].map((name) => ({ path: `plans/default/${name}.yaml`, content: `count: ${count}\n` }));
  const commit = { subject: `count ${count}`, body: "", trailers: [["Installation", record.installation]] as const, files };
  try {
    const ids = await record.commit([commit, { ...commit, subject: `again ${count}`, files: [] }]);
    process.stdout.write(`${ids.join("\n")}\n`);
  } catch (error) {
    // A push of the process before this one came in late.
    if (!(error instanceof RecordError) || error.code !== "Moved") throw error;
    await record.refresh();
  }
}
