// The Pod that this process runs in, as the downward API says it.

export interface OwnPod {
  readonly name: string;
  readonly namespace: string;
  /** `kubectl describe` shows events of this Pod alone, and not of one before it that had its name. */
  readonly uid: string;
}

/** Undefined unless all three are set. */
export function ownPod(environment: NodeJS.ProcessEnv = process.env): OwnPod | undefined {
  const { POD_NAME: name = "", POD_NAMESPACE: namespace = "", POD_UID: uid = "" } = environment;
  return name === "" || namespace === "" || uid === "" ? undefined : { name, namespace, uid };
}
