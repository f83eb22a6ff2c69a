// Which addresses a connection may lead to (design: upstream.md, "One way out"; threat model row 2).

import ipaddr from "ipaddr.js";

export type AddressVerdict = "public" | "private" | "forbidden";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

const cidr = (text: string): Range => ipaddr.parseCIDR(text);

/** Answer with credentials of the machine, or belong to one host's own network: never, whatever the settings say. */
const metadataAddresses: readonly Range[] = [
  cidr("169.254.0.0/16"), // link-local: AWS, GCP, Azure, OpenStack metadata, ECS credentials
  cidr("168.63.129.16/32"), // Azure's wire server, a public address
  cidr("100.100.100.200/32"), // Alibaba
  cidr("192.0.0.192/32"), // Oracle, older
  cidr("fe80::/10"),
  cidr("fd00:ec2::/32"), // AWS metadata and DNS over IPv6
  cidr("fd20:ce::254/128"), // GCP over IPv6
];

const neverRanges: ReadonlySet<string> = new Set(["unspecified", "broadcast", "multicast", "linkLocal"]);

const inside = (address: Address, ranges: readonly Range[]) =>
  ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));

export class AddressPolicy {
  readonly #allowed: readonly Range[];

  /** `allowedCIDRs`: private networks this installation may reach. Throws on text that is no CIDR. */
  constructor(allowedCIDRs: readonly string[]) {
    this.#allowed = allowedCIDRs.map((text) => {
      if (!ipaddr.isValidCIDR(text)) throw new TypeError(`egress.allowedCIDRs: "${text}" is not a network such as 10.0.0.0/8`);
      return cidr(text);
    });
  }

  /** `trusted`: the owner of the process wrote this host down himself (standalone). Link-local and metadata addresses stay forbidden. */
  allows(text: string, options: { trusted: boolean }): boolean {
    const address = embedded(text);
    if (address === undefined) return false;
    const verdict = judge(address);
    if (verdict === "forbidden") return false;
    return verdict === "public" || options.trusted || inside(address, this.#allowed);
  }
}

/** The address that packets to `text` reach: IPv4 inside IPv6 forms is what counts. Undefined: not an address. */
function embedded(text: string): Address | undefined {
  if (!ipaddr.isValid(text)) return undefined;
  const address = ipaddr.process(text);
  if (address.kind() === "ipv4") return address;
  const bytes = address.toByteArray();
  // ::a.b.c.d (deprecated), ::ffff:0:a.b.c.d (RFC 6145) and 64:ff9b::a.b.c.d (RFC 6052) carry the IPv4 address in the last four bytes.
  const carriesIPv4 = bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((byte) => byte !== 0);
  const translated = inside(address, [cidr("64:ff9b::/96"), cidr("::ffff:0:0:0/96")]);
  return carriesIPv4 || translated ? ipaddr.fromByteArray(bytes.slice(12)) : address;
}

function judge(address: Address): AddressVerdict {
  if (inside(address, metadataAddresses) || neverRanges.has(address.range())) return "forbidden";
  return address.range() === "unicast" ? "public" : "private";
}
