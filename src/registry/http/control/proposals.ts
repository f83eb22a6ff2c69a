// Versions that jobs propose.

import { Proposal, ProposalRequest } from "../../../api/control/proposals.ts";
import { ServiceError } from "../../services/errors.ts";
import type { ControlServices } from "./control-ports.ts";
import { list, parameter, withBody, type ControlRequest, type ControlRoute } from "./route.ts";

export const proposalRoutes: readonly ControlRoute[] = [
  {
    method: "GET",
    path: "proposals",
    summary: "Versions found or to be retired that wait to be committed",
    who: "operator",
    waits: true,
    answer: list(Proposal),
    handle: ({ patience }, { proposals }) => proposals.waiting(patience),
  },
  withBody({
    method: "POST",
    path: "proposals",
    summary: "Propose a version, or to retire some",
    who: "tag-sync",
    about: ({ body }) => ({ run: body.run ?? "" }),
    body: ProposalRequest,
    answer: Proposal,
    handle: ({ body }, { proposals }) => proposals.propose(body),
  }),
  {
    method: "GET",
    path: "proposals/{id}",
    summary: "One proposal; with wait, once it is settled",
    who: "proposal",
    waits: true,
    answer: Proposal,
    handle: readProposal,
  },
];

/** A run reads what is proposed of its kind for repositories of its policy: the same thing that somebody proposed before is answered to it too. */
async function readProposal(request: ControlRequest, { proposals }: ControlServices): Promise<Proposal> {
  const { role, patience } = request;
  const id = parameter(request, "id");
  if (role.kind !== "run") return proposals.get(id, patience);
  const found = await proposals.get(id, { ...patience, waitSeconds: 0 });
  const kind = role.run.kind === "tag-sync" ? "mint" : "retire";
  // The words for what is not there: nobody else's proposals show.
  if (found.body.kind !== kind || !role.run.covers(found.repository)) throw new ServiceError("NOT_FOUND", `There is no proposal ${id}.`);
  return found.state === "waiting" ? proposals.get(id, patience) : found;
}
