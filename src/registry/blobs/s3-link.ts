// Presigned addresses of objects, for clients that are sent to the bucket's service for the bytes (`storage.s3.redirect`).

import { connectS3 } from "./s3-client.ts";
import { S3Objects } from "./s3-objects.ts";
import type { S3Settings } from "./s3-settings.ts";

/** Seconds. A client follows at once; what it reads then may take as long as it takes. */
const lifetime = 600;

export type Link = (key: string) => Promise<string>;

/** Undefined unless the settings say so. */
export async function linkMaker(settings: S3Settings): Promise<Link | undefined> {
  if (settings.redirect !== true) return undefined;
  const { getSignedUrl } = await import("@aws-sdk/s3-request-presigner");
  const endpoint = settings.redirectEndpoint ?? settings.endpoint;
  // It only signs: nothing ever connects.
  const s3 = await connectS3({ ...settings, ...(endpoint === undefined ? {} : { endpoint }) });
  const objects = new S3Objects(s3, "blobs/");
  return (key) => {
    const request = new s3.sdk.GetObjectCommand({ ...objects.at(key), ResponseContentType: "application/octet-stream" });
    return getSignedUrl(s3.client, request, { expiresIn: lifetime });
  };
}
