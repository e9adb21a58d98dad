/** What server/hand-over/quiet-socket.ts relies on inside Node's sockets. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import t, { type Test } from "tap";
import { quiet, unquiet } from "../server/hand-over/quiet-socket.ts";

async function pair(t: Test): Promise<{ client: Socket; accepted: Socket }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = (await once(server, "connection")) as [Socket];
  t.teardown(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return { client, accepted };
}

t.test("a quiet socket reads nothing: not in its own turn, not in a later one", async (t) => {
  const { client, accepted } = await pair(t);
  const first = once(accepted, "data");
  client.write("first");
  await first;
  // As a session does: inside the event, behind which the stream asks for more.
  const again = new Promise<void>((resolve) => {
    accepted.once("data", () => {
      accepted.removeAllListeners("data");
      t.equal(quiet(accepted).length, 0);
      resolve();
    });
  });
  client.write("second");
  await again;
  client.write("third");
  await sleep(50);
  t.equal(accepted.readableLength, 0);
  t.equal(accepted.bytesRead, "firstsecond".length);
});

t.test("what was read before is given back", async (t) => {
  const { client, accepted } = await pair(t);
  accepted.pause();
  accepted.read(0);
  client.write("early");
  while (accepted.readableLength === 0) await sleep(5);
  t.equal(quiet(accepted).toString(), "early");
});

t.test("a socket that is taken back reads on", async (t) => {
  const { client, accepted } = await pair(t);
  accepted.on("data", () => undefined);
  client.write("first");
  await once(accepted, "data");
  accepted.removeAllListeners("data");
  quiet(accepted);
  client.write("second");
  await sleep(50);
  const data = once(accepted, "data") as Promise<[Buffer]>;
  unquiet(accepted);
  const [bytes] = await data;
  t.equal(bytes.toString(), "second");
  client.write("third");
  const [more] = (await once(accepted, "data")) as [Buffer];
  t.equal(more.toString(), "third");
});
