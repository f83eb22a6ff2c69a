// Secrets of the settings that say who can log in, and sign his tokens, where nobody here looks at them: by default those of users and robots are in a
// namespace that few operators watch, and nobody could log in for no reason that is said.

/** A Secret of a setting. */
export interface LoginSecret {
  readonly namespace: string;
  readonly name: string;
  /** Why nobody here looks at it, as the rest of a sentence that names it; undefined: somebody does. */
  readonly unseen?: string | undefined;
}

/** The settings that name them, as far as they do. */
interface LoginSettings {
  readonly access: { readonly users: { readonly secretRef: LoginSecret }; readonly robots: { readonly secretRef: LoginSecret } };
  readonly auth: { readonly signingKeySecret?: LoginSecret };
}

/** One sentence each, for the log. `unwatched`: why nobody looks at the Secrets of a namespace; undefined: somebody does. */
export function unseenLogins({ access, auth }: LoginSettings, unwatched: (namespace: string) => string | undefined): readonly string[] {
  const look = (ref: LoginSecret): LoginSecret => ({ ...ref, unseen: unwatched(ref.namespace) });
  const [users, robots] = [look(access.users.secretRef), look(access.robots.secretRef)];
  const keys = auth.signingKeySecret && look(auth.signingKeySecret);
  return [
    ...(users.unseen === undefined ? [] : [unseenUsers(users)]),
    ...(robots.unseen === undefined ? [] : [orByHand(unseenLogin("robots come", "access.robots.secretRef", robots))]),
    ...(keys?.unseen === undefined
      ? []
      : [
          `${orByHand(unseenLogin("keys for access tokens come", "auth.signingKeySecret", keys))}. Without them no access tokens are given out`,
        ]),
  ];
}

/** Also for the policies that name users. */
export function unseenUsers(ref: LoginSecret): string {
  return orByHand(unseenLogin("users come", "access.users.secretRef", ref));
}

/** `come`: `users come`. */
export function unseenLogin(come: string, setting: string, { namespace, name, unseen = "" }: LoginSecret): string {
  return `${come} from Secret ${namespace}/${name} (setting ${setting}), and ${unseen}`;
}

function orByHand(sentence: string): string {
  return `${sentence}, or give the registry's processes a folder of Secrets that has it (--secrets)`;
}
