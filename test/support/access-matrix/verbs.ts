// What is asked in the matrix of access: every verb of /v2, of every kind of repository.

import { digestOf, imageManifest } from "../../conformance/content.ts";
import { may, type Action, type Area, type Caller } from "./callers.ts";

/** A repository as a client names it. */
export interface Target {
  readonly area: Area;
  readonly name: string;
  readonly ns?: string;
  /** `own` and `proxied` are there; `none` is not; `left out` is not served under its Upstream's prefix. */
  readonly kind: "own" | "proxied" | "none" | "left out";
}

export const targets: Readonly<Record<string, Target>> = {
  "an own repository": { area: "team-a", name: "team-a/app", kind: "own" },
  "one that few may see": { area: "team-b", name: "team-b/app", kind: "own" },
  "one that everybody may pull": { area: "public", name: "public/app", kind: "own" },
  "one of an upstream": { area: "hub", name: "hub/team/app", kind: "proxied" },
  "the same by ?ns=": { area: "hub", name: "team/app", ns: "hub.example.com", kind: "proxied" },
  "one of an upstream with credentials": { area: "priv", name: "priv/team/app", kind: "proxied" },
  "the same by ?ns= with credentials": { area: "priv", name: "team/app", ns: "priv.example.com", kind: "proxied" },
  "one that is not there": { area: "team-a", name: "team-a/none", kind: "none" },
  "one that is nowhere": { area: "elsewhere", name: "elsewhere/app", kind: "none" },
  "one that an upstream's filter leaves out": { area: "hub", name: "hub/secret/app", kind: "left out" },
  "one that a filter with credentials leaves out": { area: "rest of priv", name: "priv/secret/app", kind: "left out" },
};

export interface Verb {
  readonly action: Action;
  readonly method: string;
  readonly path: (caller: number) => string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: () => string;
  /** What who may is answered, where the repository is there. */
  readonly done: string | ((caller: Caller, target: Target) => string);
  /** The same of an own repository that is not there; undefined: it would be made. */
  readonly missing?: string;
  /** Without a body in the answer. */
  readonly bare?: boolean;
  /** A second repository that is pulled from. */
  readonly from?: string;
}

export const unknown = "404 NAME_UNKNOWN";
export const noSession = "3f0d2b9c-5c2f-4ce1-9c8a-0d3d4f9d5b11";
export const nothing = digestOf("nothing has this digest");
export const manifestType = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
export const own = (name: string) => imageManifest({ config: digestOf("{}"), layers: [], annotations: { of: name } });
export const image = imageManifest({ config: digestOf("{}"), layers: [] });
export const other = own("another image");
export const referrer = imageManifest({ config: digestOf("{}"), layers: [], subject: digestOf(image), artifactType: "application/x-test" });
export const foreign = "a layer that is in one hidden repository alone";
export const mountable = "a layer of a hidden repository that some may mount";

export const verbs: Readonly<Record<string, Verb>> = {
  "GET a manifest by tag": { action: "pull", method: "GET", path: () => "manifests/latest", done: "200", missing: unknown },
  "HEAD a manifest by tag": { action: "pull", method: "HEAD", path: () => "manifests/latest", done: "200", missing: "404", bare: true },
  "GET a manifest by digest": { action: "pull", method: "GET", path: () => `manifests/${digestOf(image)}`, done: "200", missing: unknown },
  "HEAD a manifest by digest": {
    action: "pull",
    method: "HEAD",
    path: () => `manifests/${digestOf(image)}`,
    done: "200",
    missing: "404",
    bare: true,
  },
  "GET a protected tag": { action: "pull", method: "GET", path: () => "manifests/v1", done: "200", missing: unknown },
  "GET a blob": { action: "pull", method: "GET", path: () => `blobs/${digestOf("{}")}`, done: "200", missing: unknown },
  "HEAD a blob": { action: "pull", method: "HEAD", path: () => `blobs/${digestOf("{}")}`, done: "200", missing: "404", bare: true },
  "GET a part of a blob": {
    action: "pull",
    method: "GET",
    path: () => `blobs/${digestOf("{}")}`,
    headers: { range: "bytes=0-0" },
    done: "206",
    missing: unknown,
  },
  "GET a blob that is only in another repository": {
    action: "pull",
    method: "GET",
    path: () => `blobs/${digestOf(foreign)}`,
    done: (_, { area }) => (area === "team-b" ? "200" : "404 BLOB_UNKNOWN"),
    missing: unknown,
  },
  "GET the tags": { action: "pull", method: "GET", path: () => "tags/list", done: "200", missing: unknown },
  "GET the referrers": {
    action: "pull",
    method: "GET",
    path: () => `referrers/${digestOf(image)}`,
    done: "200 1 referrers",
    missing: "200 0 referrers",
  },
  "POST an upload": { action: "push", method: "POST", path: () => "blobs/uploads/", done: "202" },
  "POST a whole blob": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?digest=${digestOf("{}")}`,
    body: () => "{}",
    done: "201",
  },
  "POST a mount from a hidden repository": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?mount=${digestOf(mountable)}&from=team-b/app`,
    from: "team-b/app",
    done: (caller) => (may(caller, "team-b", "pull") ? "201" : "202"),
  },
  "POST a mount from a public repository": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?mount=${digestOf("{}")}&from=public/app`,
    from: "public/app",
    done: "201",
  },
  "GET an upload's place": {
    action: "push",
    method: "GET",
    path: () => `blobs/uploads/${noSession}`,
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PATCH an upload": {
    action: "push",
    method: "PATCH",
    path: () => `blobs/uploads/${noSession}`,
    body: () => "x",
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PUT an upload": {
    action: "push",
    method: "PUT",
    path: () => `blobs/uploads/${noSession}?digest=${digestOf("x")}`,
    body: () => "x",
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "DELETE an upload": {
    action: "push",
    method: "DELETE",
    path: () => `blobs/uploads/${noSession}`,
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PUT a manifest by tag": {
    action: "push",
    method: "PUT",
    path: () => "manifests/latest",
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a manifest by digest": {
    action: "push",
    method: "PUT",
    path: () => `manifests/${digestOf(image)}`,
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a protected tag as it is": {
    action: "push",
    method: "PUT",
    path: () => "manifests/v1",
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a protected tag elsewhere": {
    action: "push",
    method: "PUT",
    path: () => "manifests/v1",
    headers: manifestType,
    body: () => other,
    done: "403 DENIED protected",
  },
  "PUT a protected tag elsewhere, beside a digest": {
    action: "push",
    method: "PUT",
    path: () => `manifests/${digestOf(other)}?tag=new&tag=v1`,
    headers: manifestType,
    body: () => other,
    done: "403 DENIED protected",
  },
  "DELETE a tag": { action: "delete", method: "DELETE", path: (caller) => `manifests/t${caller}`, done: "202", missing: unknown },
  "DELETE a tag that is not there": {
    action: "delete",
    method: "DELETE",
    path: () => "manifests/none",
    done: "404 MANIFEST_UNKNOWN",
    missing: unknown,
  },
  "DELETE a protected tag": {
    action: "delete",
    method: "DELETE",
    path: () => "manifests/v1",
    done: "403 DENIED protected",
    missing: unknown,
  },
  "DELETE a manifest that a protected tag names": {
    action: "delete",
    method: "DELETE",
    path: () => `manifests/${digestOf(image)}`,
    done: "403 DENIED protected",
    missing: unknown,
  },
  "DELETE a manifest": {
    action: "delete",
    method: "DELETE",
    path: (caller) => `manifests/${digestOf(own(`m${caller}`))}`,
    done: "202",
    missing: unknown,
  },
  "DELETE a blob that is not there": {
    action: "delete",
    method: "DELETE",
    path: () => `blobs/${nothing}`,
    done: "404 BLOB_UNKNOWN",
    missing: unknown,
  },
};
