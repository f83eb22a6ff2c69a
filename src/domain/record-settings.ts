// The `record` of the settings: what the settings file says and the room that runs git goes by.

export interface RecordSettings {
  readonly author: { readonly name: string; readonly email: string };
  /** Without one the record stays on this machine. */
  readonly remote?: RemoteSettings;
  /** The Secret with the key that signs the commits. */
  readonly signing?: { readonly secretRef: { readonly namespace: string; readonly name: string } };
  readonly verify?: {
    /** Lines of an ALLOWED SIGNERS file (ssh-keygen): whose commits are followed, our own among them. */
    readonly allowedSigners: readonly string[];
  };
}

/** The Git repository of which a branch is the record. */
export interface RemoteSettings {
  /** `https://host/path` or `ssh://user@host/path`, without a password. */
  readonly url: string;
  readonly branch: string;
  /** Of the repository, where the record lies; "": its root. */
  readonly folder: string;
  readonly secretRef?: { readonly namespace: string; readonly name: string };
  /** Milliseconds between two looks at the remote. */
  readonly interval: number;
  /** Milliseconds that one fetch or push may take; the first fetch, of the whole history, ten times as long. */
  readonly timeout: number;
}
