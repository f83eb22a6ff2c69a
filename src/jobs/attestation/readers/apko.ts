// apko's image configuration as Chainguard attests it: locked packages, `nginx=1.27.3-r2`.

import { AttestationError } from "../failure.ts";
import { field, isObject, list, text } from "../hostile-json.ts";
import { versionOf, type NamedPackage, type Reader } from "./reading.ts";

export const readApko: Reader = (predicate, parameter) => {
  const contents = field(predicate, "contents");
  if (!isObject(contents)) throw new AttestationError("DocumentInvalid", "an apko image configuration has contents.packages");
  return versionOf(
    list(field(contents, "packages")).map((entry) => readPackage(text(entry) ?? "")),
    parameter,
  );
};

/** Only `name=version` locks; `name`, `name>1` and `name~1` leave the version open. A repository may follow: `name=version@local`. */
function readPackage(entry: string): NamedPackage {
  const match = /^([^=<>~@\s]+)=([^=<>~@\s]+)(?:@\S+)?$/.exec(entry);
  return { name: match?.[1], version: match?.[2], purls: [] };
}
