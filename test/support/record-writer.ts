// A process that commits to a record as fast as it can and says each commit: to be killed. `node record-writer.ts FOLDER`

import { createLogger } from "../../src/observability/logger.ts";
import { openRecord } from "../../src/record/repository.ts";

const record = await openRecord({
  folder: process.argv[2] ?? "",
  author: { name: "Wharfinger", email: "wharfinger@localhost" },
  logger: createLogger({ level: "silent" }),
});
process.stdout.write("open\n");
for (let count = record.history.commit(record.view.head ?? "")?.index ?? 0; ; count++) {
  const files = ["a", "b", "c"].map((name) => ({ path: `plans/default/${name}.yaml`, content: `count: ${count}\n` }));
  const commit = { subject: `count ${count}`, body: "", trailers: [["Installation", record.installation]] as const, files };
  const ids = await record.commit([commit, { ...commit, subject: `again ${count}`, files: [] }]);
  process.stdout.write(`${ids.join("\n")}\n`);
}
