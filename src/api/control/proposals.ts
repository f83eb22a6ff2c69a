// Proposals of versions on the wire.

import { Type, type Static } from "typebox";

import { Build } from "./record.ts";
import { digest, nullable } from "./schema.ts";

export const MintProposal = Type.Object({
  kind: Type.Literal("mint"),
  run: Type.String(),
  /** As upstream writes it: chainguard/nginx. */
  repository: Type.String(),
  build: Build,
  /** Tag names from the policy's templates, suffix included. */
  tags: Type.Array(Type.String()),
  onRebuild: Type.Union([Type.Literal("Newest"), Type.Literal("First")]),
  /** Manifests (attestations and what carries them) to keep with the version, as (digest) in the proxied repository. */
  evidenceManifests: Type.Array(digest),
});
export type MintProposal = Static<typeof MintProposal>;

export const RetireProposal = Type.Object({
  kind: Type.Literal("retire"),
  run: Type.Optional(Type.String()),
  /** With its prefix: cgr/chainguard/nginx. */
  repository: Type.String(),
  tags: Type.Array(Type.Object({ tag: Type.String(), digest, reason: Type.String() })),
});
export type RetireProposal = Static<typeof RetireProposal>;

export const ProposalRequest = Type.Union([MintProposal, RetireProposal]);
export type ProposalRequest = Static<typeof ProposalRequest>;

export const Proposal = Type.Object({
  id: Type.String(),
  policy: Type.String(),
  /** With its prefix. */
  repository: Type.String(),
  /** host/repository as upstream writes it, for mint. */
  image: Type.Optional(Type.String()),
  body: ProposalRequest,
  state: Type.Union([Type.Literal("waiting"), Type.Literal("published"), Type.Literal("refused")]),
  reason: nullable(Type.String()),
  revision: nullable(Type.String()),
});
export type Proposal = Static<typeof Proposal>;
