// Why a process of a Pod ended, where `kubectl describe` shows it: the kubelet reads this file when the container is over.

import { existsSync, writeFileSync } from "node:fs";

import { adviceInCluster } from "../domain/advice.ts";
import { printableLines } from "../domain/printable.ts";
import { isInPod } from "../config/program-name.ts";

/** `terminationMessagePath` of a container that says nothing else. */
const usual = "/dev/termination-log";
/** What the kubelet takes, in bytes. */
const most = 4_096;

/** Never throws. Does nothing outside of a Pod. */
export function leaveLastWords(
  text: string,
  { file = usual, inPod = isInPod() }: { readonly file?: string; readonly inPod?: boolean } = {},
): void {
  if (!inPod || !existsSync(file)) return;
  try {
    writeFileSync(file, Buffer.from(printableLines(adviceInCluster(text))).subarray(0, most));
  } catch {
    // Somebody else's, or a full disk: the log has it.
  }
}
