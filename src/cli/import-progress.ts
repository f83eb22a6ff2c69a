// Progress of an import on stderr: a line that renews itself where somebody watches, a line now and then where it goes to a file.

import type { ImportReport } from "../import/report.ts";
import { note, progressLine } from "./output.ts";
import { formatBytes } from "../domain/bytes.ts";

export interface ImportProgress {
  /** A line that stays. */
  readonly say: (text: string) => void;
  readonly repository: (from: string, to: string) => void;
  readonly waiting: (pause: number, reason: string) => void;
  readonly end: () => void;
}

/** Milliseconds. */
const whenWatched = 500;
const inFile = 10_000;

export function watchImport(report: ImportReport, options: { readonly dryRun: boolean }): ImportProgress {
  const watched = process.stderr.isTTY;
  let last = { bytes: 0, seconds: 0 };
  let toldUntil = 0;
  const state = () => {
    const { repositories, tags, blobs } = report.counts;
    const { seconds } = report;
    const rate = (blobs.bytes - last.bytes) / Math.max(seconds - last.seconds, 0.001);
    last = { bytes: blobs.bytes, seconds };
    if (repositories.selected === 0) return `${report.listed} repositories found so far`;
    const moved = tags.created + tags.moved + tags.unchanged;
    const sent = options.dryRun ? `${formatBytes(blobs.bytes)} to send` : `${formatBytes(blobs.bytes)} sent, ${formatBytes(rate)}/s`;
    return `${repositories.done} of ${repositories.selected} repositories, ${moved} tags, ${sent}`;
  };
  const timer = setInterval(() => (watched ? progressLine(state()) : note(state())), watched ? whenWatched : inFile).unref();
  const say = (text: string) => {
    progressLine("");
    note(text);
  };
  return {
    say,
    repository: (from, to) => {
      const { done, selected } = report.counts.repositories;
      if (!watched) note(`${done} of ${selected}: ${from}${from === to ? "" : ` as ${to}`}`);
    },
    waiting: (pause, reason) => {
      // All who wait for the same are told the same.
      if (performance.now() < toldUntil) return;
      toldUntil = performance.now() + pause;
      say(`Waiting ${Math.ceil(pause / 1000)} s: ${reason}`);
    },
    end: () => {
      clearInterval(timer);
      progressLine("");
    },
  };
}
