// Entries of signature logs that prove nothing: a good keyless attestation with one thing wrong in what the log says of it.

import { beforeAll, expect, test } from "vitest";

import { failureOf, judged, withEntry, type Refused } from "../../../test/support/keyless-refusals.ts";
import {
  asBundle,
  asLayer,
  createKeylessVectors,
  good,
  publisher,
  wanting,
  type KeylessVectors,
} from "../../../test/support/keyless-vectors.ts";
import { entryOf, withoutPromise, type EntryKind, type Signed } from "../../../test/support/sigstore.ts";

let vectors: KeylessVectors;
beforeAll(async () => {
  vectors = await createKeylessVectors();
});

/** A good signature of which the log keeps something else: `value` at `path` of the entry. */
async function logged(
  { sign, sigstore }: KeylessVectors,
  path: readonly (string | number)[],
  value: unknown,
  kind?: EntryKind,
): Promise<Signed> {
  const signed = await sign();
  const entry = entryOf(kind ?? "dsse 0.0.1", signed.envelope, signed.certificate);
  const at = path.slice(0, -1).reduce((inner, name) => inner[name] as Tree, entry as Tree);
  at[path.at(-1)!] = value;
  return { ...signed, entries: [await sigstore.log(JSON.parse(JSON.stringify(entry)))] };
}
type Tree = Record<string | number, unknown>;

const log: readonly Refused[] = [
  {
    what: "no log entry",
    code: "LogEntryMissing",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      return { ...signed, entries: [], timestamps: [await sigstore.timestamp(signed.envelope.signature)] };
    },
  },
  {
    what: "a layer without its log entry",
    code: "LogEntryMissing",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      return asLayer({ ...signed, entries: [], timestamps: [await sigstore.timestamp(signed.envelope.signature)] });
    },
  },
  {
    what: "an entry of another log",
    code: "LogEntryInvalid",
    make: async ({ sign, stranger }) => {
      const signed = await sign();
      return { ...signed, entries: [await stranger.log(entryOf("dsse 0.0.1", signed.envelope, signed.certificate))] };
    },
  },
  {
    what: "the promise of another entry",
    code: "LogEntryInvalid",
    make: async ({ sign }) => {
      const [entry] = (await sign()).entries;
      return withEntry(await sign(), (own) => ({ ...own, inclusionPromise: entry!.inclusionPromise! }));
    },
  },
  {
    what: "the proof of another entry",
    code: "LogEntryInvalid",
    make: async ({ sign }) => {
      const [entry] = (await sign()).entries;
      return withEntry(await sign(), (own) => ({ ...own, inclusionProof: entry!.inclusionProof! }));
    },
  },
  {
    what: "another index than the promise states",
    code: "LogEntryInvalid",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, logIndex: "1" })),
  },
  {
    what: "the entry of another signature by the same certificate",
    code: "LogEntryMismatch",
    make: async ({ sign, sigstore }) => {
      const signer = await sigstore.certify();
      const other = await sign({ signer, statement: good({ version: "1.0.0" }) });
      return { ...(await sign({ signer })), entries: other.entries };
    },
  },
  {
    what: "an entry of another payload",
    code: "LogEntryMismatch",
    says: "payload hash",
    make: (vectors) => logged(vectors, ["spec", "payloadHash", "value"], "00".repeat(32)),
  },
  {
    what: "an entry of another certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const other = await vectors.sigstore.certify();
      const pem = `-----BEGIN CERTIFICATE-----\n${other.certificate.toString("base64")}\n-----END CERTIFICATE-----\n`;
      return logged(vectors, ["spec", "signatures", 0, "verifier"], Buffer.from(pem).toString("base64"));
    },
  },
  {
    what: "an entry of another certificate, in the newer log",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const rawBytes = (await vectors.sigstore.certify()).certificate.toString("base64");
      return logged(
        vectors,
        ["spec", "hashedRekordV002", "signature", "verifier"],
        { x509Certificate: { rawBytes } },
        "hashedrekord 0.0.2",
      );
    },
  },
  {
    what: "an entry of no certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: (vectors) => logged(vectors, ["spec", "signatures", 0, "verifier"], undefined),
  },
  {
    what: "a second entry, of another certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const signed = await vectors.sign();
      const other = await vectors.sigstore.certify();
      const second = await vectors.sigstore.log(entryOf("dsse 0.0.1", signed.envelope, other.certificate), 5);
      return { ...signed, entries: [...signed.entries, second] };
    },
  },
  {
    what: "an entry that calls itself something else",
    code: "LogEntryMismatch",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, kindVersion: { kind: "hashedrekord", version: "0.0.1" } })),
  },
  {
    what: "an entry that names no signature",
    code: "LogEntryUnsupported",
    says: "cosign 2.2 or newer",
    make: ({ sign }) => sign({ kind: "intoto 0.0.1" }),
  },
  {
    what: "the same entry twice",
    code: "LogEntryInvalid",
    says: "duplicate",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      const entries = [...signed.entries, ...signed.entries].map(withoutPromise);
      return { ...signed, entries, timestamps: [await sigstore.timestamp(signed.envelope.signature)] };
    },
  },
];

test.each(log)("$what: $code", async (refused) => {
  await expect(judged(vectors, refused)).rejects.toMatchObject(failureOf(refused));
});

test("neither a proof nor a promise of a log counts from outside its period", async () => {
  const { sigstore, stranger } = vectors;
  const [root, other] = [sigstore, stranger].map(({ trustedRoot }) => JSON.parse(trustedRoot) as { tlogs: { publicKey: object }[] });
  const during = (validFor: object) => {
    const tlogs = [...root!.tlogs.map((log) => ({ ...log, publicKey: { ...log.publicKey, validFor } })), ...other!.tlogs];
    return wanting({ ...sigstore, trustedRoot: JSON.stringify({ ...root, tlogs }) }, publisher);
  };
  const made = await vectors.sign();
  const proved = { ...withEntry(made, withoutPromise), timestamps: [await sigstore.timestamp(made.envelope.signature)] };
  const ended = during({ start: "2020-01-01T00:00:00Z", end: "2025-01-01T00:00:00Z" });
  const refused = { code: "LogEntryInvalid", message: expect.stringContaining("not in force") };
  await expect(vectors.ask(asBundle(proved), ended)).rejects.toMatchObject(refused);
  await expect(vectors.ask(asBundle(proved), during({ start: "2999-01-01T00:00:00Z" }))).rejects.toMatchObject(refused);
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  await expect(vectors.ask(asBundle(proved), during({ start: "2020-01-01T00:00:00Z", end: soon }))).resolves.toBeDefined();
  await expect(vectors.ask(asBundle(made), ended)).rejects.toMatchObject({ code: "LogEntryInvalid" });
});
