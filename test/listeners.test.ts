/** Connections that come before anybody can take them, and accepts that fail. */
import { once } from "node:events";
import { connect, type Server, type Socket } from "node:net";
import t from "tap";
import { Listeners } from "../server/front/listeners.ts";
import type { Listener } from "../server/config/config.ts";
import { until } from "./supervised.ts";

const place: Listener = { protocol: "smtp", address: "127.0.0.1", port: 0 };

interface Tap {
  teardown(done: () => void): unknown;
}

async function listening(t: Tap, earlyMax = 10) {
  const listeners = new Listeners();
  const failures: string[] = [];
  await listeners.listen([place], {
    earlyMax,
    failed: (listener, error) => failures.push(`${listener.protocol}: ${error.message}`),
  });
  t.teardown(() => listeners.close());
  const client = async (): Promise<Socket> => {
    const socket = connect(listeners.bound[0]!.port, "127.0.0.1");
    t.teardown(() => socket.destroy());
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  return { listeners, failures, client };
}

/** Behind an earlier connection: accepts are in order. */
async function accepted(client: () => Promise<Socket>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) (await client()).destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
}

t.test("who comes early is taken later, with what it has sent", async (t) => {
  const { listeners, client } = await listening(t);
  const early = await client();
  early.write("EHLO early\r\n");
  await accepted(client, 1);
  const taken: Socket[] = [];
  listeners.open((socket) => taken.push(socket));
  await until("it is taken", () => taken.some((socket) => !socket.destroyed));
  const [socket] = taken.filter((each) => !each.destroyed);
  const [bytes] = (await once(socket!, "data")) as [Buffer];
  t.equal(bytes.toString(), "EHLO early\r\n");
  for (const each of taken) each.destroy();
});

t.test("a reset while it waits ends nothing but the connection", async (t) => {
  const { listeners, client } = await listening(t);
  const early = await client();
  await accepted(client, 1);
  early.write("x");
  early.resetAndDestroy();
  await accepted(client, 1);
  const taken: Socket[] = [];
  listeners.open((socket) => taken.push(socket));
  const late = await client();
  await until("the next one is taken", () =>
    taken.some((socket) => socket.remotePort === late.localPort),
  );
  const socket = taken.find((each) => each.remotePort === late.localPort)!;
  const closed = new Promise((resolve) => socket.resume().once("close", resolve));
  late.resetAndDestroy();
  await closed;
  t.ok(socket.destroyed, "nor does one after that");
});

t.test("no more wait than are allowed", async (t) => {
  const { listeners, client } = await listening(t, 2);
  const clients = [await client(), await client(), await client(), await client()];
  await Promise.all(clients.slice(2).map((each) => once(each.resume(), "close")));
  const taken: Socket[] = [];
  listeners.open((socket) => taken.push(socket));
  t.strictSame(
    taken.map((socket) => socket.remotePort),
    clients.slice(0, 2).map((each) => each.localPort),
  );
  for (const each of taken) each.destroy();
});

t.test("an accept that fails is told, and the next one is taken", async (t) => {
  const { listeners, failures, client } = await listening(t);
  const taken: Socket[] = [];
  listeners.open((socket) => taken.push(socket));
  await client();
  await until("the first is taken", () => taken.length === 1);
  // As Node does when accept(2) fails.
  const { server } = taken[0] as unknown as { server: Server };
  server.emit("error", new Error("accept ENOMEM"));
  t.strictSame(failures, ["smtp: accept ENOMEM"]);
  await client();
  await until("the next one is taken", () => taken.length === 2);
  for (const each of taken) each.destroy();
});

t.test("those that wait are closed with the listeners", async (t) => {
  const { listeners, client } = await listening(t);
  const early = await client();
  await accepted(client, 1);
  const closed = once(early.resume(), "close");
  listeners.close();
  await closed;
  t.ok(early.destroyed);
});
