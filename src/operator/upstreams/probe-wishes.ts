// Which Upstreams are to be probed, and what about them makes it another question: the spec, the Secrets, the request of a person.

import type { UpstreamSpec } from "../../api/kinds.ts";
import { contentHash } from "../../domain/mounted-secrets.ts";
import { keyString } from "../../domain/resource.ts";
import type { SecretData, SecretSource } from "../../domain/secrets.ts";
import type { Outcome } from "../rounds/passages.ts";
import type { CredentialsDelivery } from "../ports.ts";
import type { Judgement } from "../reconcilers/skeleton.ts";
import { requestedAtOf } from "../runs/scheduled-policies.ts";
import { secretsNamedBy } from "../credentials/secret-references.ts";

export interface ProbeWish {
  /** namespace/name */
  readonly key: string;
  readonly generation: number;
  /** A digest of the Secrets that it names; undefined: they are on their way to the registry. */
  readonly secrets: string | undefined;
  /** What a person asked for, and nobody has done yet as far as the status says. */
  readonly requestedAt: string | undefined;
}

/** Upstreams that are served as Git has them. Of one that is offline or suspended nobody wants to know. */
export function probeWishes(
  judgements: readonly Judgement[],
  { served }: Pick<Outcome, "served">,
  world: { readonly secrets?: SecretSource | undefined; readonly delivery?: Pick<CredentialsDelivery, "stateOf"> | undefined },
): readonly ProbeWish[] {
  const upstreams = judgements.filter(({ key, state }) => key.kind === "Upstream" && state !== "suspended");
  const looked = new Map(upstreams.map((judgement) => [keyString(judgement.key), judgement]));
  return served.resources.flatMap((resource) => {
    const judgement = looked.get(keyString(resource));
    if (judgement === undefined || (resource.spec as UpstreamSpec).offline) return [];
    const { annotations, handledRequest } = judgement.observed;
    const asked = requestedAtOf(annotations);
    const { namespace, name, generation } = resource;
    const named = secretsNamedBy(resource);
    const there = named.every((owner) => arrived.has(world.delivery?.stateOf(owner).state ?? "delivered"));
    return [
      {
        key: `${namespace}/${name}`,
        generation,
        secrets: there ? digestOf(named.map(({ name: secret }) => world.secrets?.secret(namespace, secret))) : undefined,
        requestedAt: asked === handledRequest ? undefined : asked,
      },
    ];
  });
}

/** `unsaid`: somebody else brings them, and nobody will say when they are there. */
const arrived: ReadonlySet<string> = new Set(["delivered", "unsaid"]);

/** A Secret stays the same object as long as nobody writes to it. */
const digests = new WeakMap<SecretData, string>();

function digestOf(secrets: readonly (SecretData | undefined)[]): string {
  return secrets.map((data) => (data === undefined ? "none" : contentDigest(data))).join(" ");
}

function contentDigest(data: SecretData): string {
  const known = digests.get(data);
  if (known !== undefined) return known;
  const digest = contentHash(data);
  digests.set(data, digest);
  return digest;
}
