// Why there was no answer, for people: of a certificate Node says what its library found, and advises its own command line.

const untrusted = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/;

const sentences: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired: renew it",
  CERT_NOT_YET_VALID: "its certificate does not count yet: are the clocks right, here and there?",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS there: are scheme and port right?",
};

/** Of an error of a connection; its own message where there is nothing better to say. */
export function whyNoAnswer(cause: unknown): string {
  const { code, message, host, cert } = cause as NodeJS.ErrnoException & { host?: string; cert?: { subjectaltname?: string } };
  if (code === undefined) return message;
  if (untrusted.test(code))
    return `its certificate is of an authority that is not known here (${code}): in the chart that is ca.crt of tls.existingSecret, or tls.caSecret`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `its certificate is for ${cert?.subjectaltname ?? "nobody"}, and not for ${host}: give it one that has this name too`;
  return sentences[code] ?? message;
}
