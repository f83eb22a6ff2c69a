// Names that people read in `kubectl get` and in scripts: conditions, reasons, annotations. Never change one.

export const conditionTypes = {
  ready: "Ready",
  reconciling: "Reconciling",
  stalled: "Stalled",
  recorded: "Recorded",
  overridden: "Overridden",
  reachable: "Reachable",
  credentialsLoaded: "CredentialsLoaded",
  rateLimited: "RateLimited",
  verified: "Verified",
  synced: "Synced",
  shadowed: "Shadowed",
  planned: "Planned",
  pruned: "Pruned",
  workloadsUnknown: "WorkloadsUnknown",
} as const;

export const reasons = {
  succeeded: "Succeeded",
  progressing: "Progressing",
  suspended: "Suspended",
  invalid: "Invalid",
  notImplemented: "NotImplemented",
  notGranted: "NotGranted",
  overridden: "Overridden",
  notRecorded: "NotRecorded",
  invalidRecord: "InvalidRecord",
  prefixInUse: "PrefixInUse",
  hostInUse: "HostInUse",
  dependencyNotReady: "DependencyNotReady",
  secretNotFound: "SecretNotFound",
  secretInvalid: "SecretInvalid",
  configMapNotFound: "ConfigMapNotFound",
  trustedRootInvalid: "TrustedRootInvalid",
  trustedRootExpired: "TrustedRootExpired",
  credentialsTooLarge: "CredentialsTooLarge",
  notDelivered: "NotDelivered",
  userNotFound: "UserNotFound",
  issuerNotFound: "IssuerNotFound",
  repositoryInUse: "RepositoryInUse",
  immutable: "Immutable",
  unreachable: "Unreachable",
  egressRefused: "EgressRefused",
  notAsked: "NotAsked",
  runFailed: "RunFailed",
  imagesFailed: "ImagesFailed",
  waitsForConfirmation: "WaitsForConfirmation",
  orphaned: "Orphaned",
  sourceIncomplete: "SourceIncomplete",
  remoteUnavailable: "RemoteUnavailable",
  authenticationFailed: "AuthenticationFailed",
  pushRefused: "PushRefused",
  recordConflict: "RecordConflict",
  signingFailed: "SigningFailed",
  mintedTagWins: "MintedTagWins",
  tagsUnknown: "TagsUnknown",
  signerNotAllowed: "SignerNotAllowed",
} as const;

/**
 * Of Ready, for who follows a resource (`wharfinger reconcile --wait`). Final: nothing more comes of this generation before somebody changes its spec; with
 * `Stalled` that is so whatever the reason. Passing: what is lacking is on its way. All others count once the operator has looked as it was asked to
 * (`status.lastHandledReconcileAt`): until then they may be over.
 */
export const finalReasons: ReadonlySet<string> = new Set([reasons.suspended]);
export const passingReasons: ReadonlySet<string> = new Set([reasons.progressing, reasons.notDelivered]);

export const annotations = {
  requestedAt: "wharfinger.dev/requestedAt",
  fluxRequestedAt: "reconcile.fluxcd.io/requestedAt",
  approvePlan: "wharfinger.dev/approve-plan",
  confirmRemoval: "wharfinger.dev/confirm-removal",
  acceptRevision: "wharfinger.dev/accept-revision",
  /** On the Pods of a registry: what tokens for it must be for. */
  audience: "wharfinger.dev/audience",
  /** On the Pods of an operator: where it says how the record stands, when that is another namespace than theirs. */
  recordNamespace: "wharfinger.dev/record-namespace",
} as const;

/** Trailers of the record's commits: the memory of what was recorded. */
export const trailers = {
  resource: "Resource",
  generation: "Generation",
  specDigest: "Spec-Digest",
  installation: "Installation",
  /** Of the resource's namespace in its cluster. */
  namespaceUid: "Namespace-Uid",
  appliedBy: "Applied-By",
  /** The word by which a person let a removal go: `<commit>`, `<commit>/<namespace>`. */
  confirmedRemoval: "Confirmed-Removal",
  /** The build that a commit brought: `cgr/chainguard/nginx@sha256:…`. */
  build: "Build",
  /** The run of a job that a commit tells of. */
  run: "Run",
  /** The folder of the repository that the commit was written for, where that is not its root. */
  folder: "Folder",
} as const;

export const recordApiVersion = "record.wharfinger.dev/v1";
