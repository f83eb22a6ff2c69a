// A line of an ALLOWED SIGNERS file, as ssh-keygen(1) has it: principals, options, a public key.

const options = String.raw`(?:cert-authority|(?:namespaces|valid-after|valid-before)="[^"]+")`;
const types = String.raw`ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com`;
const line = new RegExp(
  String.raw`^[^\s#"]+[ \t]+(?:${options}(?:,${options})*[ \t]+)?(?<type>${types})[ \t]+(?<key>[A-Za-z0-9+/]+=*)(?:[ \t].*)?$`,
);

/** ssh-keygen passes by a line that it cannot read: whose it was would be found out when their commit is refused. */
export function isAllowedSigner(text: string): boolean {
  const { type = "", key = "" } = line.exec(text)?.groups ?? {};
  // The key says its own type first, after the length of that in four bytes.
  const bytes = Buffer.from(key, "base64");
  return type !== "" && bytes.length > 4 + type.length && bytes.subarray(4, 4 + type.length).toString("latin1") === type;
}
