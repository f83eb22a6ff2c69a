// A manifest as upstream answered it: read, judged, and given the one media type it is served with from then on.

import { ManifestError, parseManifest, type Manifest } from "../../../domain/manifest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { RemoteManifest } from "../../upstream/upstream-client.ts";

/** What servers send that have no idea: then the document's own `mediaType` decides. */
const generic: ReadonlySet<string> = new Set(["", mediaTypes.json, mediaTypes.octetStream, "text/plain", "binary/octet-stream"]);

/** Throws UpstreamError UnexpectedAnswer for anything that is no manifest we can serve: HTML, JSON of another kind, schema 1. */
export function readRemoteManifest(remote: RemoteManifest, subject: string): Manifest {
  try {
    return parseManifest(remote.bytes, generic.has(remote.contentType) ? undefined : remote.contentType);
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause;
    throw new UpstreamError("UnexpectedAnswer", `what upstream answers for ${subject} is no manifest: ${cause.message}`, { cause });
  }
}
