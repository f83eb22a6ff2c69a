// An OpenID provider as CI systems have one: an HTTPS server of its own with discovery and keys, and tokens with whatever claims.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { exportJWK, generateKeyPair, SignJWT, type JWK } from "jose";

import { createCertificates } from "./certificates.ts";
import { audience } from "./token-issuer.ts";

export interface TestProvider {
  /** `https://127.0.0.1:<port>`, which the certificate is for. */
  readonly issuer: string;
  /** PEM of the authority of its certificate. */
  readonly caFile: string;
  /** Paths that were asked for. */
  readonly requests: string[];
  /** Answers instead of what is right, for a path. */
  readonly answers: Map<string, RequestListener>;
  /** Ten minutes for `audience`, by this issuer; undefined takes a claim away. */
  token(claims: Readonly<Record<string, unknown>>, options?: { readonly header?: Readonly<Record<string, unknown>> }): Promise<string>;
  stop(): Promise<void>;
}

export const discoveryPath = "/.well-known/openid-configuration";
export const keysPath = "/.well-known/jwks";

export async function startTokenProvider({ keyId = randomBytes(16).toString("base64url") } = {}): Promise<TestProvider> {
  const folder = await mkdtemp(join(tmpdir(), "token-provider-"));
  const { authority, server: pair } = await createCertificates();
  const caFile = join(folder, "ca.crt");
  await writeFile(caFile, authority);
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const published: JWK = { ...(await exportJWK(publicKey)), kid: keyId, alg: "RS256", use: "sig" };
  const requests: string[] = [];
  const answers = new Map<string, RequestListener>();
  const server = createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    const answer = answers.get(path);
    if (answer !== undefined) return answer(request, response);
    if (path === discoveryPath) return response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}${keysPath}` }));
    return path === keysPath ? response.end(JSON.stringify({ keys: [published] })) : response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    caFile,
    requests,
    answers,
    token: (claims, { header } = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const whole = {
        iss: issuer,
        aud: audience,
        iat: now,
        nbf: now - 300,
        exp: now + 600,
        jti: randomBytes(16).toString("hex"),
        ...claims,
      };
      const said = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined));
      return new SignJWT(said).setProtectedHeader({ alg: "RS256", kid: keyId, typ: "JWT", ...header }).sign(privateKey);
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Claims of a job of GitHub Actions, as its documentation has them. */
export const githubClaims = {
  sub: "repo:octo/app:ref:refs/heads/main",
  repository: "octo/app",
  repository_id: "74",
  repository_owner: "octo",
  repository_owner_id: "65",
  repository_visibility: "private",
  ref: "refs/heads/main",
  ref_type: "branch",
  ref_protected: "true",
  sha: "0123456789abcdef0123456789abcdef01234567",
  actor: "octocat",
  actor_id: "12",
  workflow: "release",
  workflow_ref: "octo/app/.github/workflows/release.yaml@refs/heads/main",
  job_workflow_ref: "octo/app/.github/workflows/release.yaml@refs/heads/main",
  event_name: "push",
  runner_environment: "github-hosted",
  run_id: "1",
  run_number: "10",
  run_attempt: "2",
} as const;

/** Claims of a job of GitLab CI (`id_tokens`), as its documentation has them. */
export const gitlabClaims = {
  sub: "project_path:group/app:ref_type:branch:ref:main",
  namespace_id: "72",
  namespace_path: "group",
  project_id: "20",
  project_path: "group/app",
  user_id: "1",
  user_login: "sample-user",
  user_email: "sample-user@example.com",
  pipeline_id: "574",
  pipeline_source: "push",
  job_id: "302",
  ref: "main",
  ref_type: "branch",
  ref_path: "refs/heads/main",
  ref_protected: "true",
  groups_direct: ["group/maintainers"],
  runner_id: 1,
  runner_environment: "self-hosted",
} as const;
