// `database`: how it is reached, and how long is waited for it.

import { Type } from "typebox";

import { bytes, duration, file, formats, group, most, ofRegistry, positiveCount, wait } from "./fields.ts";

const databaseTls = Type.Object(
  {
    mode: Type.Enum(["VerifyFull", "Require", "Disable"], {
      description:
        "`VerifyFull`: a certificate of a known authority, for this host name. `Require`: encrypted, but whoever answers is believed. `Disable`: in the clear.",
    }),
    caFile: file("File with the authorities' certificates (PEM), read again for each new connection. Without it those that Node knows."),
    certificateFile: file("File with the client's certificate (PEM)."),
    keyFile: file("File with its key."),
  },
  {
    additionalProperties: false,
    required: ["mode"],
    dependencies: { certificateFile: ["keyFile"], keyFile: ["certificateFile"] },
    description:
      "TLS. Without it `sslmode`, `sslrootcert`, `sslcert` and `sslkey` of the URL count, else `VerifyFull`, on this machine `Disable`.",
  },
);

export const database = group(
  {
    url: ofRegistry(
      Type.String({
        format: formats.postgres,
        description: "The PostgreSQL database, `postgres://user@host:5432/name`, without the password.",
      }),
    ),
    urlFile: ofRegistry(
      file(
        "Instead of `url`: a file with the whole URL, the password in it, read again at each new connection. Operators of databases write such a Secret (CloudNativePG: its key `uri`).",
      ),
    ),
    passwordFile: ofRegistry(file("File with the password, read again at each new connection.")),
    connections: ofRegistry(positiveCount(16, "Connections of one process. A quarter is kept for reads.")),
    preparedStatements: ofRegistry(
      Type.Boolean({
        description:
          "`false` when the URL leads to a pooler that gives each transaction another session (PgBouncer with `pool_mode = transaction`): nothing is kept in a session then, and each statement is planned anew.",
      }),
    ),
    serveDigestsFor: duration(
      "While the database does not answer, manifests and blobs that are asked for by digest are served from memory when it confirmed them this recently, to who might pull them then: a deletion of these moments may go unseen. `0s`: they are refused as tags are (503).",
      // A view that is older knows nothing.
      { [most]: 10 * 60_000 },
    ),
    tls: ofRegistry(databaseTls),
    timeouts: ofRegistry(
      group(
        {
          connect: wait("Until a new connection is there."),
          wait: wait("How long a request waits for a free connection before it is told to come again (503)."),
          statement: wait("Longest statement; the server ends it. Migrations take their time."),
          lock: wait("How long a statement waits for what another transaction holds."),
          idleInTransaction: wait("A transaction whose process says nothing for this long is ended, and its locks with it."),
          commit: wait(
            "How long the answer to a COMMIT, or to a single statement that writes, is awaited: within it a synchronous standby must have confirmed.",
          ),
        },
        "How long is waited for what.",
      ),
    ),
    lowWaterBytes: bytes(
      "`wharfinger serve`: free bytes of the database's volume below which pushes and changes are refused (507), before PostgreSQL would end; deletes at half of it. 0: never.",
    ),
  },
  "The database.",
);
