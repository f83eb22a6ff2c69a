// The forms of texts in the settings that JSON Schema has no word for: what they look like, and what to write instead. The program parses them besides; the
// chart says the same before anything is installed (scripts/chart-forms.mjs), with Go's expressions, which look neither ahead nor behind.

import { formats } from "./fields.ts";

const duration = String.raw`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`;

export const formatPatterns = {
  [formats.duration]: duration,
  [formats.positiveDuration]: duration,
  [formats.quantity]: String.raw`^[0-9]+(\.[0-9]+)?(|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)$`,
  [formats.cidr]: String.raw`^([0-9]+(\.[0-9]+){3}/([0-9]|[12][0-9]|3[0-2])|[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$`,
  [formats.host]: String.raw`^[^\s/@]{1,253}$`,
  [formats.url]: String.raw`^https?://[^/@?#\s]+(/\S*)?$`,
  [formats.keySet]: String.raw`^(https://[^/@?#\s]+(/\S*)?|[^:]+(:[^/:][^:]*)*)$`,
  [formats.remote]: String.raw`^(https://[^/@?#\s]+/[^\s?#]+|ssh://\w[\w.-]*@[^/@?#\s]+/[^\s?#]+)$`,
  [formats.postgres]: String.raw`^postgres(ql)?://([^:@/?#\s]+@)?[^@/?#\s]+([/?]\S*)?$`,
} as const;

/** What a text of another form is told. Those without a pattern the program alone judges. */
export const formatSentences: Record<string, string> = {
  [formats.duration]: 'not a duration; write for example "24h", "90s" or "200ms"',
  [formats.positiveDuration]: 'not a duration above zero; write for example "24h", "90s" or "200ms"',
  [formats.quantity]: 'not a number of bytes; write for example "512Mi" or 1000000',
  [formats.cidr]: 'not a network; write for example "10.20.0.0/16"',
  [formats.glob]: 'not a glob of repositories; write for example "team-a/**" (lower case, * within a segment, ** for any number of them)',
  [formats.signer]:
    'no line of an ALLOWED SIGNERS file (man ssh-keygen); write for example "jane@example.org ssh-ed25519 AAAA…", without anything private',
  [formats.administrator]: "no subject; write for example {kind: User, name: root}, or {kind: ServiceAccount, namespace: ops, name: admin}",
  [formats.host]: 'not a host; write for example "registry.example.com", without a scheme',
  [formats.url]: 'not an http:// or https:// URL without a password; write for example "https://host.example.com"',
  [formats.keySet]: 'neither a file nor an https URL without a password; write for example "/etc/wharfinger/edge-jwks.json"',
  [formats.remote]:
    'not the URL of a repository; write "https://git.example.com/team/registry.git" or "ssh://git@git.example.com/team/registry.git"; credentials are in the Secret',
  [formats.postgres]: 'not a URL without a password; write for example "postgres://wharfinger@db.example.com:5432/wharfinger"',
};
