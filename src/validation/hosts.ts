// Hosts and URLs that have the right form, and still lead nowhere.

/** Of `host[:port]`, whose form and port CEL has checked. */
export function hostProblem(host: string): string | undefined {
  if (host.startsWith("[")) return URL.canParse(`http://${host}`) ? undefined : "is no IPv6 address";
  const name = host.replace(/:\d+$/, "");
  if (name.length > 253) return "is longer than 253 characters";
  const bad = name.split(".").find((label) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label));
  if (bad !== undefined)
    return `is no host name: "${bad}" between its dots must have 1 to 63 letters, digits and -, with a letter or digit at both ends`;
  if (!URL.canParse(`http://${host}`)) return "is no host name and no address";
  return undefined;
}

/** Of `scheme://host[:port]`, a form that CEL has checked. */
export function urlProblem(url: string): string | undefined {
  return hostProblem(url.replace(/^https?:\/\//, ""));
}

/** OIDC Discovery 1.0, section 3: https, a host, maybe a path; CEL has seen that there is no query and no fragment. */
export function issuerProblem(issuer: string): string | undefined {
  return URL.canParse(issuer) ? undefined : "is no URL; for example https://token.actions.githubusercontent.com";
}
