// Where a registry is asked, and under which names a docker configuration keeps its login.

const dockerHubNames: ReadonlySet<string> = new Set([
  "docker.io",
  "index.docker.io",
  "registry.docker.io",
  "registry.hub.docker.com",
  "registry-1.docker.io",
]);

const dockerHubHost = "registry-1.docker.io";

/** The address that is asked: `https://docker.io` and its aliases mean registry-1.docker.io. Throws on text that is no URL. */
export function targetUrl(text: string): URL {
  const url = new URL(text);
  return dockerHubNames.has(url.host) ? new URL(`https://${dockerHubHost}`) : new URL(url.origin);
}

export function isDockerHub(url: URL): boolean {
  return url.host === dockerHubHost;
}

/** Every name under which a docker configuration may keep the login of this host. */
export function loginNames(url: URL): readonly string[] {
  return isDockerHub(url) ? [...dockerHubNames] : [url.host];
}
