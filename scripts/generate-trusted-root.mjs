// Writes the trusted root that is built in: Sigstore's public-good one, as @sigstore/tuf carries it (verified through TUF by its publisher when the
// package was made). A newer root comes with a newer package. `--check` only compares and fails when something differs.

import { resolve } from "node:path";

import seeds from "@sigstore/tuf/seeds.json" with { type: "json" };

import { writeOrCheck } from "./generated-files.mjs";

const path = resolve(import.meta.dirname, "../src/jobs/attestation/public-good.trusted-root.json");
const target = seeds["https://tuf-repo-cdn.sigstore.dev"].targets["trusted_root.json"];
process.exitCode = writeOrCheck(new Map([[path, Buffer.from(target, "base64").toString("utf8")]]), process.argv.includes("--check"));
