// What a start asks of a bucket, and why it cannot be used: each reason with what to do, since a person reads it in an event.

import { Obstacle, type ObstacleReason } from "../../domain/obstacle.ts";
import type { S3 } from "./s3-client.ts";
import { describe } from "./s3-errors.ts";
import type { S3Settings } from "./s3-settings.ts";

/** Milliseconds for all attempts of one question: whoever waits for the start wants to know. */
const patience = 5_000;

const waiting = () => ({ abortSignal: AbortSignal.timeout(patience) });

/** Rejects with Obstacle unless the bucket is there and lets us look into it. */
export async function askBucket({ sdk, client, bucket, prefix }: S3, settings: S3Settings): Promise<void> {
  const question = new sdk.ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 });
  const answer = await client.send(question, waiting()).catch((error: unknown) => {
    throw obstacleOf(settings, error);
  });
  // A page for people has none of it, and is no error.
  if (answer.Name === undefined && answer.IsTruncated === undefined) throw noS3(settings);
}

/** Rejects with Obstacle that names the rights which are missing; none of the questions changes anything. */
export async function requireRights(s3: S3, settings: S3Settings, { readOnly }: { readonly readOnly: boolean }): Promise<void> {
  const { sdk, client, bucket, prefix } = s3;
  // No object has this name.
  const nothing = { Bucket: bucket, Key: `${prefix}rights` };
  const questions: Readonly<Record<string, () => Promise<unknown>>> = {
    "s3:GetObject": () => client.send(new sdk.GetObjectCommand(nothing), waiting()),
    ...(readOnly
      ? {}
      : {
          "s3:ListBucketMultipartUploads": () =>
            client.send(new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, MaxUploads: 1 }), waiting()),
          "s3:DeleteObject": () => client.send(new sdk.DeleteObjectCommand(nothing), waiting()),
          "s3:AbortMultipartUpload": () => client.send(new sdk.AbortMultipartUploadCommand({ ...nothing, UploadId: "none" }), waiting()),
        }),
  };
  const missing: string[] = [];
  for (const [right, ask] of Object.entries(questions)) {
    const refused = await ask().then(
      () => false,
      (error: unknown) => describe(error).name === "AccessDenied",
    );
    if (refused) missing.push(right);
  }
  if (missing.length > 0) throw rightsMissing(settings, missing);
}

export function rightsMissing(settings: Pick<S3Settings, "bucket">, rights: readonly string[]): Obstacle {
  const several = rights.length > 1 ? "rights" : "right";
  return new Obstacle(
    "BucketRightsMissing",
    `The bucket ${settings.bucket} does not give this access key the ${several} ${rights.join(", ")}: add it to the policy (docs/guides/s3.md has the whole one).`,
  );
}

function noS3(settings: S3Settings): Obstacle {
  return new Obstacle("NoS3Service", `${whereOf(settings)} does not answer as an S3 service does: correct storage.s3.endpoint.`);
}

function obstacleOf(settings: S3Settings, error: unknown): Obstacle {
  const { bucket, region } = settings;
  const where = whereOf(settings);
  const because = (reason: ObstacleReason, text: string) => new Obstacle(reason, `The bucket ${bucket} ${text}.`, { cause: error });
  const { name, status } = describe(error);
  const { code } = error as { code?: unknown };
  switch (name) {
    case "CredentialsProviderError":
      return because(
        "BucketKeyRefused",
        "is not asked, because no credentials were found: set storage.s3.accessKeyIdFile and storage.s3.secretAccessKeyFile, or give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
      );
    case "InvalidAccessKeyId":
      return because("BucketKeyRefused", `refuses these credentials at ${where} (403 ${name}): nobody there has this access key; check it`);
    case "SignatureDoesNotMatch":
      return because(
        "BucketKeyRefused",
        `refuses these credentials at ${where} (403 ${name}): check the secret access key, and storage.s3.region`,
      );
    case "ExpiredToken":
    case "InvalidToken":
      return because("BucketKeyRefused", `refuses these credentials at ${where} (${name}): give it new ones`);
    case "AccessDenied":
      return rightsMissing(settings, ["s3:ListBucket"]);
    case "NoSuchBucket":
      return because("BucketMissing", `does not exist at ${where}: make it, or correct storage.s3.bucket`);
    case "AuthorizationHeaderMalformed":
    case "PermanentRedirect":
    case "IllegalLocationConstraintException": {
      const right = regionIn(error);
      const fix = right === undefined ? "set storage.s3.region" : `set storage.s3.region: ${right}`;
      return because("BucketRegionWrong", `is in another region than ${region}: ${fix}`);
    }
    default:
      break;
  }
  if (name === "AbortError" || name === "TimeoutError") {
    return because(
      "BucketUnreachable",
      `cannot be reached: ${where} did not answer within ${patience / 1000} s; check storage.s3.endpoint, and what is between`,
    );
  }
  if (status === undefined && typeof code === "string") return because("BucketUnreachable", unreached(where, code));
  // What is no answer of S3 the SDK cannot read, whatever its status.
  if (/XML parse error|Deserialization error/.test((error as Error).message)) return noS3(settings);
  if (status === undefined) return because("BucketUnreachable", `cannot be reached at ${where} (${name}): check storage.s3.endpoint`);
  return because("StoreUnavailable", `cannot be used: ${where} answers ${status} ${name}; look into the log of that service`);
}

function unreached(where: string, code: string): string {
  const what = `cannot be reached at ${where} (${code})`;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `${what}: nobody knows that host; correct storage.s3.endpoint, or make the name known`;
  if (code === "EPROTO") return `${what}: it speaks no TLS; write http:// into storage.s3.endpoint, or switch TLS on there`;
  if (/CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code))
    return `${what}: its certificate is not believed; give its authority with NODE_EXTRA_CA_CERTS`;
  return `${what}: check storage.s3.endpoint, and whether it runs`;
}

function whereOf({ endpoint, region }: S3Settings): string {
  return endpoint ?? `AWS in ${region}`;
}

/** Services say it in the answer or its header. */
function regionIn(error: unknown): string | undefined {
  const { Region, $response } = error as { Region?: unknown; $response?: { headers?: Readonly<Record<string, string>> } };
  return typeof Region === "string" ? Region : $response?.headers?.["x-amz-bucket-region"];
}
