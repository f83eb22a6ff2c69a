// What keeps a process from its work and can be mended without it: it waits, says what it is, and goes on when it is gone.

/** As events and probes name them. A table in docs/guides/several-processes.md says what to do. */
export const obstacleReasons = [
  "DatabaseUnreachable",
  "DatabaseTLSFailed",
  "DatabaseLoginRefused",
  "DatabaseMissing",
  "DatabaseRightsMissing",
  "DatabaseNotPrimary",
  "DatabaseUnsuitable",
  "DatabaseFileUnusable",
  "DatabaseOfAnotherProgram",
  "DatabaseNewer",
  "DatabaseOlder",
  "DatabaseUnavailable",
  "BucketUnreachable",
  "BucketMissing",
  "BucketKeyRefused",
  "BucketRightsMissing",
  "BucketRegionWrong",
  "NoS3Service",
  "StoreUnavailable",
  "StoreOfAnotherInstallation",
  "FolderInUse",
  "FolderUnusable",
  "DataFolderUnusable",
  "RecordOfAnotherInstallation",
] as const;

export type ObstacleReason = (typeof obstacleReasons)[number];

/** `message`: what is in the way, and what to do about it. Never holds a secret. */
export class Obstacle extends Error {
  override readonly name = "Obstacle";
  readonly reason: ObstacleReason;

  constructor(reason: ObstacleReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
