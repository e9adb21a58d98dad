/** Whose connections are counted together: an IPv4 address, or the /64 that an IPv6 address is in. */
import ipaddr from "ipaddr.js";

const GROUPS_OF_64 = 4;

export function clientKey(address: string): string {
  if (!address.includes(":")) return address;
  if (!ipaddr.IPv6.isValid(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  const groups = parsed.parts.slice(0, GROUPS_OF_64).map((group) => group.toString(16));
  return `${groups.join(":")}::/64`;
}
