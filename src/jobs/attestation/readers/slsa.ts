// SLSA provenance v1: the build's parameters. `https://slsa.dev/provenance/v0.2` has another shape and another meaning; it is not read.

import { AttestationError } from "../failure.ts";
import { field, isObject, text } from "../hostile-json.ts";
import type { Reader } from "./reading.ts";

/** `internalParameters` first: the builder sets them; `externalParameters` are what the one who asked for the build said. */
export const readSlsa: Reader = (predicate, parameter) => {
  const definition = field(predicate, "buildDefinition");
  if (!isObject(definition)) throw new AttestationError("DocumentInvalid", "SLSA provenance v1 has a buildDefinition");
  for (const parameters of ["internalParameters", "externalParameters"]) {
    const version = text(field(field(definition, parameters), parameter));
    if (version !== undefined && version !== "") return version;
  }
  throw new AttestationError("VersionMissing", `neither internalParameters nor externalParameters have a text "${parameter}"`);
};
