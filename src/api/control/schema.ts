// Building blocks of the shapes of the control API (/api/v1): TypeBox schemas, so that type, check and OpenAPI are one.

import { Type, type TSchema } from "typebox";

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const time = Type.String({ description: "RFC 3339" });
export const digest = Type.String({ pattern: "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" });
export const record = <T extends TSchema>(schema: T) => Type.Record(Type.String(), schema);
