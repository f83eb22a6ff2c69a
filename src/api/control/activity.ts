// Who did what, on the wire.

import { Type, type Static } from "typebox";

import { nullable, time } from "./schema.ts";

export const ActivityEntry = Type.Object({
  at: time,
  identity: Type.String(),
  action: Type.String(),
  repository: nullable(Type.String()),
  reference: nullable(Type.String()),
  detail: Type.Optional(Type.Unknown()),
});
export type ActivityEntry = Static<typeof ActivityEntry>;
