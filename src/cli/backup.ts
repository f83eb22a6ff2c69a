// wharfinger backup: snapshots of the metadata in the store.

import { Command } from "commander";

import type { ListedSnapshot, SnapshotView } from "../api/control/backup.ts";
import { formatBytes } from "../domain/bytes.ts";
import { formatTime } from "../domain/retention/words.ts";
import { ask, clientCommand } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { printResult, progressLine, table } from "./output.ts";

export function backupCommand(): Command {
  const now = clientCommand("now", "take a snapshot of the metadata").action((_options: unknown, command: Command) =>
    ask(command, async ({ control }, output) => {
      let taken: SnapshotView | undefined;
      for await (const line of control.backup()) {
        if ("snapshot" in line) taken = line.snapshot;
        else progressLine(`${line.progress.step}: ${line.progress.done} of ${line.progress.total}`);
      }
      progressLine("");
      if (taken === undefined)
        throw new CommandError(
          "The snapshot was cut off before it was whole, so there is none. The registry's log says why; run it again.",
        );
      await printResult(output, taken, (snapshot) => render([snapshot]));
    }),
  );
  const list = clientCommand("list", "the snapshots in the store, newest first").action((_options: unknown, command: Command) =>
    ask(command, async ({ control }, output) => printResult(output, await control.snapshots(), render)),
  );
  return new Command("backup").description("snapshots of the metadata, beside the blobs").addCommand(now).addCommand(list);
}

const flaws = { Broken: "cannot be read", Newer: "of a newer Wharfinger" } as const;

function render(snapshots: readonly ListedSnapshot[]): string {
  return table(
    ["SNAPSHOT", "TAKEN", "FOR", "ROWS", "SIZE"],
    snapshots.map((snapshot) => {
      if ("flaw" in snapshot) return [snapshot.name, flaws[snapshot.flaw], "", "", ""];
      const { name, takenAt, reason, rows, bytes } = snapshot;
      return [name, formatTime(Date.parse(takenAt)), reason, String(rows), formatBytes(bytes)];
    }),
  );
}
