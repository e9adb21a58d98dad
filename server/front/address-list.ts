/** Addresses and CIDR blocks of the configuration: whom a PROXY header or an XCLIENT command is believed from. */
import ipaddr from "ipaddr.js";

type Block = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

export class AddressList {
  readonly #blocks: readonly Block[];

  /** Throws what ipaddr.js says of a text that is neither; the configuration was checked before. */
  constructor(texts: readonly string[]) {
    this.#blocks = texts.map((text) => {
      if (text.includes("/")) return ipaddr.parseCIDR(text);
      const address = ipaddr.process(text);
      return [address, address.kind() === "ipv4" ? 32 : 128];
    });
  }

  has(text: string): boolean {
    if (this.#blocks.length === 0 || !ipaddr.isValid(text)) return false;
    const address = ipaddr.process(text);
    return this.#blocks.some(
      (block) => block[0].kind() === address.kind() && address.match(block as [never, number]),
    );
  }
}
