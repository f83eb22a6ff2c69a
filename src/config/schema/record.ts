// `record`: the Git record, and the remote that has it.

import { Type } from "typebox";

import { formats, group, instead, least, most, name, needing, positive, text } from "./fields.ts";

const secretRef = (description: string) =>
  Type.Object(
    {
      namespace: Type.String({ minLength: 1, maxLength: 253, default: "default", description: "Namespace of the Secret." }),
      name: name(description),
    },
    { additionalProperties: false, required: ["name"] },
  );

const recordRemote = Type.Object(
  {
    url: Type.String({
      format: formats.remote,
      description: "The repository: `https://host/path` or `ssh://user@host/path`, without a password. Redirects are not followed.",
    }),
    branch: text({
      pattern: "^(?!.*(?:\\.\\.|//|/\\.|\\.lock(?:/|$)))[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?$",
      [instead]: 'not the name of a branch; write for example "wharfinger" or "clusters/prod": letters, digits, -, _, . and / between them',
      maxLength: 200,
      default: "wharfinger",
      description:
        "The branch that is the record; made when it is not there. Never the one that Flux or Argo CD reads. Whoever may push to it administers the registry: protect it.",
    }),
    folder: text({
      pattern: "^(?:[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$",
      [instead]: 'not a folder of the repository; write for example "clusters/prod", without a slash at its ends and without ".."',
      maxLength: 200,
      default: "",
      description: "Folder of the repository in which the record lies; without it its root.",
    }),
    secretRef: secretRef(
      "Name of the Secret with the credentials. For https its keys `username` and `password` (a token), and `ca.crt` for an authority of your own; for ssh `identity` (a private key without a passphrase) and `known_hosts`. It may change at any time.",
    ),
    interval: positive("Between two looks at the remote. A push of the operator's, or a request, does not wait for it.", {
      default: "30s",
      [least]: 1_000,
      [most]: 24 * 3_600_000,
    }),
    timeout: positive("What one fetch or push may take; the first fetch ten times as much.", { default: "60s", [most]: 3_600_000 }),
  },
  { additionalProperties: false, required: ["url"] },
);

export const record = needing(
  { verify: ["signing"] },
  {
    author: group({
      name: name("Author of the record's commits."),
      email: name("Its address."),
    }),
    remote: recordRemote,
    signing: Type.Object(
      {
        secretRef: secretRef(
          "Name of the Secret whose key `identity`, an SSH private key without a passphrase, signs the record's commits. It may be the remote's, and change at any time.",
        ),
      },
      { additionalProperties: false, required: ["secretRef"], description: "Without it commits are not signed." },
    ),
    verify: Type.Object(
      {
        allowedSigners: Type.Array(Type.String({ format: formats.signer }), {
          minItems: 1,
          description:
            "Lines of an ALLOWED SIGNERS file (`man ssh-keygen`): `jane@example.org ssh-ed25519 AAAA…`, with the options of such a file. Only commits of the branch that one of these keys signed are followed. The registry's own key is one of them.",
        }),
      },
      {
        additionalProperties: false,
        required: ["allowedSigners"],
        description: "Without it whoever can push is believed.",
      },
    ),
  },
  "The Git record.",
);
