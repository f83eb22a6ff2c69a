// Through a tunnel to a Pod, whatever its port speaks. Who is at the other end the API server knows, which was asked for that Pod: a certificate, made for
// names that nobody used here, would prove nothing more.

import { once } from "node:events";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";

/** Types of the records that a handshake is made of (RFC 8446, section 5.1). */
const [alert, handshake] = [21, 22];

export class Tunnel {
  readonly #open: () => Promise<Duplex>;
  #plain = false;

  /** `open`: a connection to the Pod's port; no socket, from which TLS would read past us. */
  constructor(open: () => Promise<Duplex>) {
    this.#open = open;
  }

  /** TLS where the port speaks it; a port that does not answers the greeting in another language, and is asked again in its own way. */
  async connect(): Promise<Duplex> {
    const stream = await this.#open();
    if (this.#plain) return stream;
    const secure = connect({ socket: stream, rejectUnauthorized: false });
    let answer: number | undefined;
    stream.once("data", (bytes: Buffer) => (answer = bytes[0]));
    try {
      await once(secure, "secureConnect");
      return secure;
    } catch (error) {
      secure.destroy();
      // The error does not tell: a refusal in TLS looks like an answer in another language (ERR_SSL_…).
      if (answer === undefined || answer === alert || answer === handshake) throw error;
      this.#plain = true;
      return this.#open();
    }
  }
}
