// A repository of many images, made by SQL in sets: rows as pushes leave them, without the pushes. The objects have rows and no files: what is
// measured is the database, and deleting a key that is not there is a success (files would be a minute of the file system's time, once each way).

import type { Client } from "pg";

export interface Bulk {
  readonly repository: string;
  readonly tags: number;
  /** Layers of each image, no other image has them. */
  readonly blobs: number;
}

const imagesAtOnce = 10_000;

/** Images `<repository>:v<n>`, pushed an hour ago, no lease left. */
export async function makeImages(client: Client, { repository, tags, blobs }: Bulk): Promise<void> {
  await client.query("INSERT INTO prefixes (prefix, kind) VALUES (split_part($1, '/', 1), 'own') ON CONFLICT DO NOTHING", [repository]);
  const { rows } = await client.query<{ id: number }>("INSERT INTO repositories (name) VALUES ($1) RETURNING id", [repository]);
  const id = rows[0]!.id;
  for (let from = 1; from <= tags; from += imagesAtOnce) {
    const to = Math.min(from + imagesAtOnce - 1, tags);
    await client.query("BEGIN");
    // Neither triggers nor foreign keys: the rows are whole.
    await client.query("SET LOCAL session_replication_role = replica");
    await client.query(
      `CREATE TEMP TABLE layer ON COMMIT DROP AS
       SELECT image, 'sha256:' || encode(sha256(convert_to($1 || ' ' || image || ' ' || n, 'UTF8')), 'hex') AS digest, gen_random_uuid()::text AS key
       FROM generate_series($2::int, $3::int) image, generate_series(1, $4::int) n`,
      [repository, from, to, blobs],
    );
    await client.query(
      `CREATE TEMP TABLE image ON COMMIT DROP AS
       SELECT image, bytes, 'sha256:' || encode(sha256(bytes), 'hex') AS digest FROM (
         SELECT image, convert_to(json_build_object(
           'schemaVersion', 2, 'mediaType', 'application/vnd.oci.image.manifest.v1+json',
           'config', json_build_object('mediaType', 'application/vnd.oci.image.config.v1+json', 'digest', min(digest), 'size', 4096),
           'layers', json_agg(json_build_object('mediaType', 'application/vnd.oci.image.layer.v1.tar+gzip', 'digest', digest, 'size', 4096) ORDER BY digest)
         )::text, 'UTF8') AS bytes
         FROM layer GROUP BY image
       ) said`,
    );
    await client.query("INSERT INTO objects (key, size, state, ever_live, touched_at) SELECT key, 4096, 'live', true, now() FROM layer");
    await client.query("INSERT INTO blobs (digest, size, object_key) SELECT digest, 4096, key FROM layer");
    await client.query(
      "INSERT INTO repository_blobs (repository, digest, keep_until) SELECT $1, digest, now() - interval '1 hour' FROM layer",
      [id],
    );
    await client.query(
      `INSERT INTO manifests (repository, digest, media_type, bytes, pushed_at, keep_until)
       SELECT $1, digest, 'application/vnd.oci.image.manifest.v1+json', bytes, now() - interval '1 hour', now() - interval '1 hour' FROM image`,
      [id],
    );
    await client.query(
      `INSERT INTO manifest_blobs (repository, manifest, digest, size, held)
       SELECT $1, image.digest, layer.digest, 4096, layer.digest FROM layer JOIN image USING (image)`,
      [id],
    );
    await client.query(
      "INSERT INTO tags (repository, name, digest, updated_at) SELECT $1, 'v' || image, digest, now() - interval '1 hour' FROM image",
      [id],
    );
    await client.query("COMMIT");
  }
  await client.query("VACUUM (ANALYZE)");
  await client.query("CHECKPOINT");
}
