import { expect, test } from "vitest";

import { isAllowedSigner } from "./allowed-signers.ts";

const key = "AAAAC3NzaC1lZDI1NTE5AAAAIE3bG9wYW9wYW9wYW9wYW9wYW9wYW9wYW9wYW9wYW9w";
const rsa = Buffer.concat([Buffer.from([0, 0, 0, 7]), Buffer.from("ssh-rsa"), Buffer.alloc(64)]).toString("base64");

test.each([
  `jane@example.org ssh-ed25519 ${key}`,
  `jane@example.org,jd@example.org ssh-ed25519 ${key} Jane's laptop`,
  `*@example.org namespaces="git",valid-after="20260101",valid-before="20270101Z" ssh-ed25519 ${key}`,
  `ca@example.org cert-authority ssh-rsa ${rsa}`,
])("a line of an ALLOWED SIGNERS file: %s", (line) => expect(isAllowedSigner(line)).toBe(true));

test.each([
  "",
  "# jane",
  `ssh-ed25519 ${key}`,
  `jane@example.org ${key}`,
  "jane@example.org ssh-ed25519",
  "jane@example.org ssh-ed25519 AAAA",
  `jane@example.org ssh-rsa ${key}`,
  `jane@example.org valid-until="2027" ssh-ed25519 ${key}`,
  `jane@example.org ssh-ed25519 ${key}\nmallory@example.org ssh-ed25519 ${key}`,
  "-----BEGIN OPENSSH PRIVATE KEY-----",
])("nothing that ssh-keygen would pass by: %j", (line) => expect(isAllowedSigner(line)).toBe(false));
