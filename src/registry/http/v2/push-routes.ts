// Pushing and deleting (distribution spec, "Push" and "Content Management"). Every Location is relative: clients refuse or distrust others.

import type { OutgoingHttpHeaders } from "node:http";

import { parseDigest, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";
import { maxManifestBytes } from "../../../domain/manifest.ts";
import { headers } from "../../../domain/media-types.ts";
import { formatUploadRange, parseChunkRange } from "../../../domain/ranges.ts";
import { formatReference, isRepositoryName, isTag } from "../../../domain/reference.ts";
import { digestMessage } from "../../../domain/v2-path.ts";
import { ServiceError } from "../../services/errors.ts";
import type { PushService, UploadStatus } from "../../services/push/push-service.ts";
import { emptyAnswer, failureAnswer, type Answer } from "../answer.ts";
import type { PathOf, RepositoryExchange } from "./exchange.ts";
import { manifestTime, withWholeBody } from "../request-body.ts";

/** Tags that one PUT by digest may set. */
const tagLimit = 100;

export class PushRoutes {
  readonly #push: PushService;
  /** The canonical name of the repository to mount from, when somebody serves it. */
  readonly #nameOf: (name: string) => string | undefined;

  constructor(options: { push: PushService; nameOf: (name: string) => string | undefined }) {
    this.#push = options.push;
    this.#nameOf = options.nameOf;
  }

  /** POST /blobs/uploads/: a mount, a whole blob, or a session. */
  async startUpload(exchange: RepositoryExchange<PathOf<"uploads">>): Promise<Answer> {
    const { query } = exchange;
    const mounted = query.has("mount") ? await this.#mount(exchange, digestOf(query, "mount")) : undefined;
    if (mounted !== undefined) return blobCreated(exchange, mounted);
    if (query.has("digest")) return this.#uploadWhole(exchange, digestOf(query, "digest"));
    const { repository, caller, path } = exchange;
    const status = await this.#push.startUpload(repository.name, caller, { algorithm: algorithmOf(query) });
    return emptyAnswer(202, uploadHeaders(path.name, status));
  }

  async uploadStatus({ repository, caller, path }: RepositoryExchange<PathOf<"upload">>): Promise<Answer> {
    return emptyAnswer(204, uploadHeaders(path.name, await this.#push.uploadStatus(repository.name, path.session, caller)));
  }

  async appendChunk(exchange: RepositoryExchange<PathOf<"upload">>): Promise<Answer> {
    const { repository, caller, path } = exchange;
    const chunk = { ...chunkOf(exchange), gone: exchange.gone() };
    return this.#inOrder(exchange, async () => {
      const status = await this.#push.append(repository.name, path.session, caller, chunk);
      return emptyAnswer(202, uploadHeaders(path.name, status));
    });
  }

  async completeUpload(exchange: RepositoryExchange<PathOf<"upload">>): Promise<Answer> {
    const { repository, caller, path, query } = exchange;
    const digest = digestOf(query, "digest");
    const chunk = { ...chunkOf(exchange), gone: exchange.gone() };
    return this.#inOrder(exchange, async () => {
      await this.#push.complete(repository.name, path.session, caller, { digest, ...chunk });
      return blobCreated(exchange, digest);
    });
  }

  async cancelUpload({ repository, caller, path }: RepositoryExchange<PathOf<"upload">>): Promise<Answer> {
    await this.#push.cancel(repository.name, path.session, caller);
    return emptyAnswer(204, {});
  }

  async putManifest(exchange: RepositoryExchange<PathOf<"manifest">>): Promise<Answer> {
    const { repository, caller, path, query, access, length } = exchange;
    const { reference } = path;
    const tags = "tag" in reference ? [reference.tag] : tagsOf(query);
    if (length !== undefined && length > maxManifestBytes) throw manifestTooLarge();
    const body = { chunks: exchange.body({ totalTime: manifestTime }), limit: maxManifestBytes, sender: exchange.sender };
    const stored = await withWholeBody(body, (bytes) =>
      this.#push.putManifest(repository.name, caller, {
        reference,
        tags,
        mediaType: exchange.headers["content-type"],
        bytes,
        isProtected: (tag) => access.isProtected(repository.name, tag),
      }),
    );
    if (stored === undefined) throw manifestTooLarge();
    const { digest, subject } = stored;
    exchange.note({ event: "push", what: "manifest", reference: formatReference(reference), digest, tags });
    return emptyAnswer(201, {
      location: `/v2/${path.name}/manifests/${digest}`,
      [headers.contentDigest]: digest,
      ...(subject === undefined ? {} : { [headers.ociSubject]: subject }),
      ...("digest" in reference && tags.length > 0 ? { [headers.ociTag]: [...tags] } : {}),
    });
  }

  async deleteManifest(exchange: RepositoryExchange<PathOf<"manifest">>): Promise<Answer> {
    const { repository, caller, path, access } = exchange;
    await this.#push.deleteManifest(repository.name, path.reference, caller, {
      isProtected: (tag) => access.isProtected(repository.name, tag),
    });
    exchange.note({ event: "delete", what: "manifest", reference: formatReference(path.reference) });
    return emptyAnswer(202, {});
  }

  async deleteBlob(exchange: RepositoryExchange<PathOf<"blob">>): Promise<Answer> {
    const { repository, caller, path } = exchange;
    await this.#push.deleteBlob(repository.name, path.digest, caller);
    exchange.note({ event: "delete", what: "blob", reference: path.digest });
    return emptyAnswer(202, {});
  }

  /** Pull on the source is asked here, push on the target was. Whatever stands in the way of a mount means: upload it. */
  #mount({ repository, caller, query, access, identity }: RepositoryExchange, digest: Digest): Promise<Digest | undefined> {
    const readable = (name: string) => access.may(identity, "pull", name);
    const from = query.get("from");
    if (from === null || from === "") return this.#push.mount(repository.name, caller, { digest, readable });
    const source = isRepositoryName(from) ? this.#nameOf(from) : undefined;
    if (source === undefined || !readable(source)) return Promise.resolve(undefined);
    return this.#push.mount(repository.name, caller, { digest, from: source, readable });
  }

  async #uploadWhole(exchange: RepositoryExchange<PathOf<"uploads">>, digest: Digest): Promise<Answer> {
    const { repository, caller, length } = exchange;
    await this.#push.uploadWhole(repository.name, caller, { digest, ...(length === undefined ? {} : { length }), body: exchange.body() });
    return blobCreated(exchange, digest);
  }

  /** A chunk out of order is 416 with the place where the next one must begin. */
  async #inOrder({ repository, caller, path }: RepositoryExchange<PathOf<"upload">>, work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ServiceError && error.code === "RANGE_INVALID")) throw error;
      const status = await this.#push.uploadStatus(repository.name, path.session, caller);
      const refused = failureAnswer(error);
      return { ...refused, headers: { ...refused.headers, ...uploadHeaders(path.name, status) } };
    }
  }
}

function uploadHeaders(name: string, { id, offset }: UploadStatus): OutgoingHttpHeaders {
  return { location: `/v2/${name}/blobs/uploads/${id}`, range: formatUploadRange(offset), [headers.uploadUuid]: id };
}

function blobCreated(exchange: RepositoryExchange, digest: Digest): Answer {
  const name = "name" in exchange.path ? exchange.path.name : exchange.repository.name;
  exchange.note({ event: "push", what: "blob", reference: digest });
  return emptyAnswer(201, { location: `/v2/${name}/blobs/${digest}`, [headers.contentDigest]: digest });
}

function digestOf(query: URLSearchParams, parameter: string): Digest {
  const digest = parseDigest(query.get(parameter) ?? "");
  if (digest === undefined) throw new ServiceError("DIGEST_INVALID", `${digestMessage} It belongs into the parameter ${parameter}.`);
  return digest;
}

function algorithmOf(query: URLSearchParams): DigestAlgorithm {
  const text = query.get("digest-algorithm") ?? "sha256";
  if (text === "sha256" || text === "sha512") return text;
  throw new ServiceError("DIGEST_INVALID", "digest-algorithm must be sha256 or sha512.");
}

function tagsOf(query: URLSearchParams): readonly string[] {
  const tags = [...new Set(query.getAll("tag"))];
  if (tags.length > tagLimit) throw new ServiceError("MANIFEST_INVALID", `At most ${tagLimit} tags can be set by one request.`);
  const bad = tags.find((tag) => !isTag(tag));
  if (bad !== undefined)
    throw new ServiceError("MANIFEST_INVALID", "A value of the parameter tag is not a tag.", { detail: { tag: bad.slice(0, 128) } });
  return tags;
}

interface Chunk {
  readonly start?: number;
  readonly length?: number;
  readonly body: ReturnType<RepositoryExchange["body"]>;
}

/** A chunk with Content-Range must be as long as it says; one without is appended. */
function chunkOf(exchange: RepositoryExchange): Chunk {
  const { length } = exchange;
  const text = exchange.headers["content-range"];
  const declared = length === undefined ? {} : { length };
  // An empty last PUT may repeat the range of nothing; there is no chunk that it could misplace.
  if (text === undefined || (exchange.method === "PUT" && length === 0)) return { ...declared, body: exchange.body() };
  const range = parseChunkRange(text);
  if (range === undefined)
    throw new ServiceError("BLOB_UPLOAD_INVALID", "Content-Range is not <first>-<last>, both inclusive, as in 0-1023.");
  const size = range.end - range.start + 1;
  if (length !== undefined && length !== size) {
    throw new ServiceError("SIZE_INVALID", `Content-Range names ${size} bytes and Content-Length ${length}.`);
  }
  return { start: range.start, length: size, body: exchange.body() };
}

function manifestTooLarge(): ServiceError {
  return new ServiceError("PAYLOAD_TOO_LARGE", `The manifest is larger than ${maxManifestBytes} bytes, the most that this registry takes.`);
}
