// What the record refuses or cannot do.

export type RecordErrorCode =
  | "GitMissing" // no git on this machine, or one that is too old
  | "GitFailed" // git ended with an error; temporary unless the repository is broken
  | "NotARepository" // the folder holds something else
  | "Moved"; // somebody committed in the meantime: read again, render again

export class RecordError extends Error {
  readonly code: RecordErrorCode;
  /** Worth trying again without a change by a person. */
  readonly temporary: boolean;

  constructor(code: RecordErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "RecordError";
    this.code = code;
    this.temporary = code === "GitFailed" || code === "Moved";
  }
}
