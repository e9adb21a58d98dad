import t from "tap";
import { clientKey } from "../server/front/client-key.ts";

t.test("an IPv4 client is its address", (t) => {
  t.equal(clientKey("192.0.2.44"), "192.0.2.44");
  t.not(clientKey("192.0.2.44"), clientKey("192.0.2.45"));
  t.end();
});

t.test("an IPv4 client of an IPv6 socket is its IPv4 address", (t) => {
  t.equal(clientKey("::ffff:192.0.2.44"), "192.0.2.44");
  t.equal(clientKey("::ffff:c000:22c"), "192.0.2.44");
  t.end();
});

t.test("IPv6 clients of one /64 are one, however they are written", (t) => {
  const key = clientKey("2001:db8:1:2::1");
  for (const address of [
    "2001:db8:1:2:ffff:ffff:ffff:ffff",
    "2001:0DB8:0001:0002:0:0:0:7",
    "2001:db8:1:2:3::",
  ]) {
    t.equal(clientKey(address), key, address);
  }
  t.end();
});

t.test("the next /64 is another client", (t) => {
  const key = clientKey("2001:db8:1:2::1");
  for (const address of ["2001:db8:1:3::1", "2001:db8:1:1::1", "2001:db8::1", "::1"]) {
    t.not(clientKey(address), key, address);
  }
  t.end();
});

t.test("a scope does not make another client, and what is no address is itself", (t) => {
  t.equal(clientKey("fe80::1%eth0"), clientKey("fe80::2%eth0"));
  t.equal(clientKey("not:an:address"), "not:an:address");
  t.end();
});
