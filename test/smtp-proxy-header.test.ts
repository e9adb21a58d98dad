import t from "tap";
import {
  parseProxyHeader,
  PROXY_HEADER_BYTES_MAX,
  readProxyHeader,
} from "../server/smtp/proxy-header.ts";

t.test("a proxy tells the client's address and port", (t) => {
  t.strictSame(parseProxyHeader("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25"), {
    kind: "client",
    endpoints: {
      remoteAddress: "192.0.2.7",
      remotePort: 56324,
      localAddress: "198.51.100.1",
      localPort: 25,
    },
  });
  t.match(parseProxyHeader("PROXY TCP6 2001:db8::1 2001:db8::2 1 25"), {
    endpoints: { remoteAddress: "2001:db8::1" },
  });
  t.end();
});

t.test("UNKNOWN is the proxy's own connection, whatever follows", (t) => {
  t.strictSame(parseProxyHeader("PROXY UNKNOWN"), { kind: "unknown" });
  t.strictSame(parseProxyHeader("PROXY UNKNOWN ffff::1 ffff::2 65535 65535"), { kind: "unknown" });
  t.end();
});

t.test("anything else is invalid", (t) => {
  for (const line of [
    "",
    "EHLO x",
    "proxy TCP4 192.0.2.7 198.51.100.1 1 25",
    "PROXY",
    "PROXY TCP4",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 25 x",
    "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536",
    "PROXY TCP4 192.0.2.7 198.51.100.1 01 25",
    "PROXY TCP4 192.0.2.7 198.51.100.1 -1 25",
    "PROXY TCP4 2001:db8::1 198.51.100.1 1 25",
    "PROXY TCP6 192.0.2.7 2001:db8::2 1 25",
    "PROXY TCP4 host.test 198.51.100.1 1 25",
    "PROXY  TCP4 192.0.2.7 198.51.100.1 1 25",
  ]) {
    t.strictSame(parseProxyHeader(line), { kind: "invalid" }, JSON.stringify(line));
  }
  t.end();
});

t.test("the longest header is one of two full IPv6 addresses", (t) => {
  const address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const line = `PROXY UNKNOWN ${address} ${address} 65535 65535\r\n`;
  t.equal(line.length, PROXY_HEADER_BYTES_MAX);
  t.strictSame(readProxyHeader(Buffer.from(`${line}EHLO x`)), { kind: "unknown" });
  t.strictSame(readProxyHeader(Buffer.from(line.slice(0, -1))), { kind: "incomplete" });
  t.strictSame(readProxyHeader(Buffer.from(`x${line}`)), { kind: "invalid" });
  t.strictSame(readProxyHeader(Buffer.alloc(PROXY_HEADER_BYTES_MAX, "x")), { kind: "invalid" });
  t.end();
});
