import { BlobStoreError } from "./blob-store.ts";

/** Lower case, since a folder may lie on a file system that knows no other. */
const form = /^(?:backup|marker)(?:\/[a-z0-9][a-z0-9._-]{0,99}){1,4}$/;

const prefixForm = /^(?:backup|marker)\/(?:[a-z0-9][a-z0-9._-]{0,99}\/?){0,4}$/;

/** `name`, or a `BlobStoreError` Failed: nothing that comes from outside may lead to a blob, or out of the folder. */
export function checkedName(name: string): string {
  if (!form.test(name)) throw new BlobStoreError("Failed", `${JSON.stringify(name)} is no name of an object beside the blobs.`);
  return name;
}

/** What `list` may be asked for: a place where named objects are, or the begin of a name. */
export function checkedPrefix(prefix: string): string {
  if (!prefixForm.test(prefix))
    throw new BlobStoreError("Failed", `No object beside the blobs has a name that begins with ${JSON.stringify(prefix)}.`);
  return prefix;
}
