// The ledger of an image.

import { ShadowedTags, VersionsView } from "../../../api/control/versions.ts";
import { isRepositoryName } from "../../../domain/reference.ts";
import { nameMessage } from "../../../domain/v2-path.ts";
import { ServiceError } from "../../services/errors.ts";
import type { ControlServices } from "./control-ports.ts";
import { parameter, type ControlRequest, type ControlRoute } from "./route.ts";

export const versionRoutes: readonly ControlRoute[] = [
  {
    method: "GET",
    path: "versions/{repository}",
    summary: "The ledger of an image with its evidence: why does this tag point there",
    who: "reader",
    answer: VersionsView,
    handle: readVersions,
  },
  {
    method: "GET",
    path: "shadowed/{repository}",
    summary: "Tags of upstream that nobody gets, because a minted one of the same name wins; upstream may be asked, in a few requests",
    who: "tag-sync",
    about: (request) => ({ repository: request.nameOf(parameter(request, "repository")) ?? "" }),
    answer: ShadowedTags,
    handle: readShadowed,
  },
];

async function readVersions(request: ControlRequest, { versions }: ControlServices): Promise<VersionsView> {
  const written = parameter(request, "repository");
  if (!isRepositoryName(written)) throw new ServiceError("INVALID", nameMessage);
  // The same words whether there is no ledger or the caller may not see it.
  const none = new ServiceError("NOT_FOUND", `There are no versions of ${written}.`);
  const name = request.nameOf(written);
  if (name === undefined || !request.mayPull(name)) throw none;
  try {
    return await versions(name);
  } catch (error) {
    throw error instanceof ServiceError && error.code === "NOT_FOUND" ? none : error;
  }
}

async function readShadowed(request: ControlRequest, { shadowed }: ControlServices): Promise<ShadowedTags> {
  const written = parameter(request, "repository");
  if (!isRepositoryName(written)) throw new ServiceError("INVALID", nameMessage);
  const name = request.nameOf(written);
  if (name === undefined) throw new ServiceError("NOT_FOUND", `There are no versions of ${written}.`);
  return shadowed(name);
}
