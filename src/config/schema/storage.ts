// `storage`, `spool`: where bytes lie.

import { Type } from "typebox";

import { bytes, file, formats, group, instead, least, ofRegistry, positiveCount, text } from "./fields.ts";

const bucket = Type.Object(
  {
    bucket: text({
      pattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
      [instead]: 'not the name of a bucket; write 3 to 63 lower case letters, digits, - and ., for example "wharfinger"',
      description: "Name of the bucket. It must exist, and belong to this installation alone or under `prefix`.",
    }),
    region: Type.String({
      minLength: 1,
      default: "us-east-1",
      description: "Region of the bucket; some services of your own take any, others one (versitygw: `us-east-1` by default).",
    }),
    endpoint: Type.String({ format: formats.url, description: "URL of the service; without it AWS." }),
    prefix: text({
      pattern: "^(?:[A-Za-z0-9._-]+/)*$",
      [instead]: 'not a prefix of keys; write for example "registry/", with a slash at its end and none at its beginning, or leave it out',
      default: "",
      description: "What all keys begin with, for example `registry/`.",
    }),
    forcePathStyle: Type.Boolean({
      default: false,
      description: "`https://host/bucket/key` instead of `https://bucket.host/key`: most services of your own want it.",
    }),
    accessKeyIdFile: file(
      "File with the access key id, read again every few minutes. Without it credentials are found as the AWS SDK does: environment, web identity, instance.",
    ),
    secretAccessKeyFile: file("File with the secret access key."),
    redirect: Type.Boolean({
      default: false,
      description:
        "Who pulls a whole blob of a repository of your own is sent to the service for its bytes (307, an address that is good for ten minutes for whoever has it). HEAD and ranges are answered here.",
    }),
    redirectEndpoint: Type.String({
      format: formats.url,
      description: "URL under which clients reach the service, where that is not `endpoint`.",
    }),
    connections: positiveCount(
      256,
      "Connections of one process to the service at once. A quarter is kept for pushes and deletes; downloads share the others, so that a slow client keeps none from who waits for one.",
    ),
  },
  {
    additionalProperties: false,
    required: ["bucket"],
    dependencies: { accessKeyIdFile: ["secretAccessKeyFile"], secretAccessKeyFile: ["accessKeyIdFile"] },
  },
);

export const storage = group(
  {
    lowWaterBytes: bytes("Free bytes below which pushes are refused (507); snapshots of the metadata at half of it."),
    folder: ofRegistry(file("A folder for the bytes instead of a bucket. One process has it; a second one is refused.")),
    s3: ofRegistry(bucket),
  },
  "The blob store.",
);

export const spool = group(
  {
    folder: ofRegistry(
      file(
        "Where fetches lie while they are on their way to the bucket, and parts of pushes that come slowly while there is no memory for them (up to 8 MiB a transfer); local and fast. Without it a folder of the system's place for temporary files.",
      ),
    ),
    lowWaterBytes: bytes("Free bytes below which blobs fetched from upstreams are passed through and not kept."),
    maxBlobBytes: bytes("The largest blob that is fetched from an upstream; larger ones are refused.", { [least]: 1024 * 1024 }),
  },
  "Fetches from upstreams.",
);
