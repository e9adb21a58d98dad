/** Directories of the workers' sockets: who was killed leaves one, and who listens keeps it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import t from "tap";
import {
  makeRelayDirectory,
  removeRelayDirectory,
  removeStaleRelayDirectories,
} from "../server/hand-over/relay-directory.ts";

const before = process.env["TMPDIR"];
// Not in tap's own: the path of a socket has 107 bytes at most.
const directory = mkdtempSync(join(tmpdir(), "relays-"));
t.beforeEach(() => {
  process.env["TMPDIR"] = mkdtempSync(join(directory, "-"));
});
t.teardown(() => {
  if (before === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = before;
  rmSync(directory, { recursive: true });
});

function left(): string[] {
  return readdirSync(process.env["TMPDIR"]!);
}

t.test("the directory of a killed process goes, that of a listening one stays", async (t) => {
  const living = makeRelayDirectory();
  const server = createServer((socket) => socket.destroy()).listen(living.socket);
  await once(server, "listening");
  t.teardown(() => server.close());
  const dead = makeRelayDirectory();
  const script = `require("net").createServer().listen(${JSON.stringify(dead.socket)}, () => console.log())`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  t.ok(existsSync(dead.socket), "it has left its socket");
  await removeStaleRelayDirectories();
  t.notOk(existsSync(dead.directory));
  t.ok(existsSync(living.socket));
});

t.test("a directory that is just being made stays, an old one without a socket goes", async (t) => {
  const fresh = makeRelayDirectory();
  const old = makeRelayDirectory();
  utimesSync(old.directory, 1, 1);
  await removeStaleRelayDirectories();
  t.same(left(), [basename(fresh.directory)]);
});

t.test("what is not a worker's stays", async (t) => {
  const other = join(process.env["TMPDIR"]!, "onespool-other");
  mkdirSync(other);
  const used = makeRelayDirectory();
  writeFileSync(join(used.directory, "file"), "");
  utimesSync(used.directory, 1, 1);
  await removeStaleRelayDirectories();
  t.equal(left().length, 2);
});

t.test("no directory for temporary files is no failure, nor is one that is gone", async (t) => {
  removeRelayDirectory(join(process.env["TMPDIR"]!, "nowhere"));
  process.env["TMPDIR"] = "/nowhere";
  await t.resolves(removeStaleRelayDirectories());
});
