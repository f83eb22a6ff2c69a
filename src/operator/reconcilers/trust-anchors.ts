// What a TagPolicy trusts, where it only names it: public keys in Secrets, a trusted root in a ConfigMap. Without them nothing can be verified, so the policy
// is not ready; its versions are served all the same.

import { reasons } from "../../api/conditions.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import { judgePublicKeys } from "../../domain/public-key-secret.ts";
import { namesOfKeys } from "../../domain/registry-login.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { SecretData } from "../../domain/secrets.ts";
import { maxTrustedRootBytes, readTrustedRoot, trustedRootKey } from "../../domain/trusted-root.ts";
import type { ReportContext } from "./reconciler.ts";
import type { NamedCredentials } from "./named-credentials.ts";
import type { Finding } from "./skeleton.ts";

/** Of the TagPolicy `key`. */
export function anchorsOf(key: ResourceKey, spec: TagPolicySpec, context: ReportContext): readonly NamedCredentials[] {
  const { keys = [], keyless = [], trustedRoot } = spec.verify;
  const { namespace } = key;
  const named = keys.map(({ secretRef }, index): NamedCredentials => {
    const owner: MountedOwner = { kind: "Secret", namespace, name: secretRef.name };
    return { owner, path: `spec.verify.keys[${index}].secretRef.name`, ...keysAnchor(owner) };
  });
  if (trustedRoot === undefined || keyless.length === 0) return named;
  const owner: MountedOwner = { kind: "ConfigMap", namespace, name: trustedRoot.configMapRef.name };
  return [...named, { owner, path: "spec.verify.trustedRoot.configMapRef.name", ...rootAnchor(owner, context) }];
}

type Anchor = Pick<NamedCredentials, "missing" | "problemOf">;

function keysAnchor({ namespace, name }: MountedOwner): Anchor {
  const secret = `${namespace}/${name}`;
  return {
    missing: {
      reason: reasons.secretNotFound,
      message: `there is no Secret ${secret} with public keys (*.pub): create it, or name another one`,
    },
    problemOf: (data) => {
      const judged = judgedKeys.get(data) ?? judgePublicKeys(data);
      judgedKeys.set(data, judged);
      return "problem" in judged ? { reason: reasons.secretInvalid, message: `Secret ${secret} ${judged.problem}` } : undefined;
    },
  };
}

/** Every round asks, more than once. */
const judgedKeys = new WeakMap<SecretData, ReturnType<typeof judgePublicKeys>>();

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
