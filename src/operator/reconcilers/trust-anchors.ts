// What a TagPolicy trusts, where it only names it: public keys in Secrets, a trusted root in a ConfigMap. Without them nothing can be verified, so the policy
// is not ready; its versions are served all the same.

import { reasons } from "../../api/conditions.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import { readPublicKey } from "../../domain/public-key.ts";
import { namesOfKeys } from "../../domain/registry-login.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { SecretData } from "../../domain/secrets.ts";
import { maxTrustedRootBytes, readTrustedRoot, trustedRootKey } from "../../domain/trusted-root.ts";
import type { ReportContext } from "./reconciler.ts";
import type { Finding, Placed } from "./skeleton.ts";

/** The first that cannot be used. Undefined where all can, or where Secrets are somebody else's to look at. */
export function unusableAnchor(key: ResourceKey, spec: TagPolicySpec, context: ReportContext): (Finding & Placed) | undefined {
  if (context.secrets === undefined) return undefined;
  const { keys = [], keyless = [], trustedRoot } = spec.verify;
  for (const [index, { secretRef }] of keys.entries()) {
    const owner: MountedOwner = { kind: "Secret", namespace: key.namespace, name: secretRef.name };
    const found = unusable(owner, context.secrets.secret(owner.namespace, owner.name), { context, ...keysAnchor(owner) });
    if (found !== undefined) return { path: `spec.verify.keys[${index}].secretRef.name`, ...found };
  }
  if (trustedRoot === undefined || keyless.length === 0) return undefined;
  const owner: MountedOwner = { kind: "ConfigMap", namespace: key.namespace, name: trustedRoot.configMapRef.name };
  const found = unusable(owner, context.secrets.configMap(owner.namespace, owner.name), { context, ...rootAnchor(owner, context) });
  return found && { path: "spec.verify.trustedRoot.configMapRef.name", ...found };
}

interface Anchor {
  readonly missing: Finding;
  readonly problemOf: (data: SecretData) => Finding | undefined;
}

function unusable(
  owner: MountedOwner,
  data: SecretData | undefined,
  { context, missing, problemOf }: Anchor & { readonly context: ReportContext },
): Finding | undefined {
  const delivered = context.delivery?.stateOf(owner);
  if (data === undefined) {
    if (delivered?.state !== "unread") return missing;
    return delivered.served ? undefined : { reason: delivered.reason, message: delivered.message };
  }
  const problem = problemOf(data);
  if (problem !== undefined) return problem;
  if (delivered?.state === "refused" || (delivered?.state === "onItsWay" && !delivered.served)) {
    return { reason: delivered.reason, message: delivered.message };
  }
  return undefined;
}

function keysAnchor({ namespace, name }: MountedOwner): Anchor {
  const secret = `${namespace}/${name}`;
  const wrong = (message: string): Finding => ({ reason: reasons.secretInvalid, message: `Secret ${secret} ${message}` });
  return {
    missing: {
      reason: reasons.secretNotFound,
      message: `there is no Secret ${secret} with public keys (*.pub): create it, or name another one`,
    },
    problemOf: (data) => {
      const files = [...data].filter(([file]) => file.endsWith(".pub"));
      if (files.length === 0) {
        return wrong(
          `has no key that ends in .pub (${namesOfKeys(data)}): put the publisher's public key there, for example as cosign.pub`,
        );
      }
      const problems = files.flatMap(([file, bytes]) => {
        const read = readPublicKey(file, new TextDecoder().decode(bytes));
        return "problem" in read ? [read.problem] : [];
      });
      return problems.length === files.length ? wrong(`has no public key that can be used: ${problems.join("; ")}`) : undefined;
    },
  };
}

function rootAnchor({ namespace, name }: MountedOwner, { delivery }: ReportContext): Anchor {
  const configMap = `ConfigMap ${namespace}/${name}`;
  // Where nobody delivers, the documents of a folder are what there is.
  const create = `kubectl -n ${namespace} create configmap ${name} --from-file=${trustedRootKey}`;
  const inFolder = `a ConfigMap document with the key ${trustedRootKey} in the configuration folder`;
  const make = delivery === undefined ? `add ${inFolder}` : `create it (${create})`;
  const renew =
    delivery === undefined
      ? `change it in the configuration folder`
      : `replace it (${create} --dry-run=client -o yaml | kubectl replace -f -)`;
  const invalid = (message: string): Finding => ({ reason: reasons.trustedRootInvalid, message: `${configMap} ${message}` });
  return {
    missing: {
      reason: reasons.configMapNotFound,
      message: `there is no ${configMap} with a trusted root: ${make}, or take spec.verify.trustedRoot out to trust the public-good root`,
    },
    problemOf: (data) => {
      const bytes = data.get(trustedRootKey);
      if (bytes === undefined) return invalid(`has no key ${trustedRootKey} (${namesOfKeys(data)}): ${renew}`);
      if (bytes.byteLength > maxTrustedRootBytes) {
        return invalid(`has ${bytes.byteLength} bytes in ${trustedRootKey}, ${maxTrustedRootBytes} at most are taken: ${renew}`);
      }
      const root = rootOf(data, bytes);
      if ("problem" in root) return invalid(`has no trusted root in ${trustedRootKey}, it ${root.problem}: ${renew}`);
      if (root.usableUntil > Date.now()) return undefined;
      const ended = `every ${root.ends} in it ended by ${new Date(root.usableUntil).toISOString()}`;
      return { reason: reasons.trustedRootExpired, message: `${configMap} is out of date, ${ended}: ${renew} with the newer root` };
    },
  };
}

/** Every round asks, and certificates take a moment to read. */
const readRoots = new WeakMap<SecretData, ReturnType<typeof readTrustedRoot>>();

function rootOf(data: SecretData, bytes: Uint8Array): ReturnType<typeof readTrustedRoot> {
  const read = readRoots.get(data) ?? readTrustedRoot(new TextDecoder().decode(bytes));
  readRoots.set(data, read);
  return read;
}
