// Hosts and URLs that have the right form, and still lead nowhere.

/** Of `host[:port]`. */
export function hostProblem(host: string): string | undefined {
  const [, name = "", port] = /^(.*?)(?::(\d+))?$/.exec(host.startsWith("[") ? host.replace(/^\[(.*)\]/, "x") : host) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return `has the port ${port}: ports are 1 to 65535`;
  if (host.startsWith("[")) return URL.canParse(`http://${host}`) ? undefined : "is no IPv6 address";
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

/** OIDC Discovery 1.0, section 3: https, a host, maybe a path; no query, no fragment. */
export function issuerProblem(issuer: string): string | undefined {
  const parsed = URL.parse(issuer);
  if (parsed === null) return "is no URL; for example https://token.actions.githubusercontent.com";
  if (parsed.username !== "" || parsed.password !== "") return "must not carry a user or password";
  if (parsed.search !== "" || parsed.hash !== "") return "must have neither query nor fragment";
  return undefined;
}
