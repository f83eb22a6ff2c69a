// What the record refuses or cannot do.

export type RecordErrorCode =
  | "GitMissing" // no git on this machine, or one that is too old
  | "GitFailed" // git ended with an error; temporary unless the repository is broken
  | "NotARepository" // the folder holds something else
  | "Moved" // somebody committed in the meantime: read again, render again
  | "RemoteUnavailable" // the remote does not answer, or not in time, or not as Git
  | "RemoteRefused" // one of the two does not know the other: credentials, certificate, host key
  | "PushRefused" // the remote takes no commits from us: a hook, a protected branch
  | "SigningFailed" // no key to sign with, or one that git cannot use
  | "SignerNotAllowed" // a commit of the branch that none of the allowed signers signed
  | "RecordConflict"; // the remote holds another history than this record

const forPersons: ReadonlySet<RecordErrorCode> = new Set(["GitMissing", "NotARepository", "SignerNotAllowed", "RecordConflict"]);

export class RecordError extends Error {
  readonly code: RecordErrorCode;
  /** Worth trying again without a change by a person. */
  readonly temporary: boolean;

  constructor(code: RecordErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "RecordError";
    this.code = code;
    this.temporary = !forPersons.has(code);
  }
}

/** The branch is not followed to its newest commit, `head`, until a person accepts that one, or the commit is off the branch. */
export class UntrustedCommit extends RecordError {
  readonly head: string;

  constructor(why: string, head: string) {
    super("SignerNotAllowed", `${why}: nothing from it on is followed, and what is published stays. Take it off the branch`);
    this.name = "UntrustedCommit";
    this.head = head;
  }
}
