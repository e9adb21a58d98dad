/** Hints through a real mount, by the programs that the documentation shows: shell, C, Python, Node. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { HINT_COMMAND, IOCTL_BYTES_MAX, IOCTL_STRUCT_LENGTH } from "../fs/hints/ioctl.ts";
import { bindings, missing, ServedMount } from "./system/mount.ts";
import { sourcePath } from "./system/source.ts";

const TIMEOUT_MS = 60_000;
t.setTimeout(10 * TIMEOUT_MS);

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program in a process of its own, so that a server that hangs does not hang the test. */
function run(command: string, args: readonly string[], input = "", uid?: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, killSignal: "SIGKILL" as const, maxBuffer: 1 << 28 };
    const who = uid === undefined ? {} : { uid, gid: uid };
    const child = execFile(command, args, { ...options, ...who }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr });
    });
    // A program that ends without reading its input is no failure of the test.
    child.stdin?.on("error", () => undefined).end(input);
  });
}

const work = mkdtempSync(join(tmpdir(), "onespool-clients-"));
t.teardown(() => rmSync(work, { recursive: true, force: true }));

const header = sourcePath("native-notes/onespool.h");
const python = sourcePath("native-notes/onespool_client.py");
const compiled = join(work, "onespool-client");
const warnings = ["-O2", "-Wall", "-Wextra", "-Werror"];

await t.test("the C header says what the file system says", async (t) => {
  const program = join(work, "layout.c");
  writeFileSync(
    program,
    `#include <stdio.h>
#include <stddef.h>
#include "${header}"
int main(void) {
	printf("%u %zu %zu %zu %zu %d", (unsigned)ONESPOOL_IOC_HINT, sizeof(struct onespool_hint),
	       offsetof(struct onespool_hint, version), offsetof(struct onespool_hint, length),
	       offsetof(struct onespool_hint, bytes), ONESPOOL_HINT_BYTES_MAX);
}
`,
  );
  const built = await run("cc", [...warnings, "-o", join(work, "layout"), program]);
  t.equal(built.stderr, "");
  const { stdout } = await run(join(work, "layout"), []);
  const wanted = [HINT_COMMAND, IOCTL_STRUCT_LENGTH, 0, 4, 8, IOCTL_BYTES_MAX];
  t.equal(stdout, wanted.join(" "));
  const script = `import sys; sys.path.insert(0, ${JSON.stringify(join(python, ".."))})
sys.dont_write_bytecode = True
import onespool_client as c; print(c.COMMAND, c._SIZE)`;
  t.equal(
    (await run("python3", ["-c", script])).stdout,
    `${HINT_COMMAND} ${IOCTL_STRUCT_LENGTH}\n`,
  );
});

await t.test("the C client is built without a warning", async (t) => {
  const source = sourcePath("native-notes/onespool-client.c");
  t.strictSame(await run("cc", [...warnings, "-o", compiled, source]), {
    status: 0,
    stdout: "",
    stderr: "",
  });
});

/** Runs an ES module that has `client` (a HintClient), `HintError` and `print`; gives what it prints. */
async function node(mountpoint: string, body: string): Promise<unknown> {
  const client = fileURLToPath(new URL("../fs/hints/client.js", import.meta.url));
  const script = `
    import { HintClient, HintError } from ${JSON.stringify(client)};
    const client = await HintClient.open(${JSON.stringify(mountpoint)});
    const print = (value) => console.log(JSON.stringify(value));
    ${body}
    await client.close();`;
  const outcome = await run(process.execPath, ["--input-type=module", "-e", script]);
  if (outcome.status !== 0) throw new Error(outcome.stderr);
  return JSON.parse(outcome.stdout);
}

for (const binding of bindings) {
  const reason = missing(binding);
  const skip = reason === undefined ? {} : { skip: reason };
  await t.test(binding, { timeout: 10 * TIMEOUT_MS, ...skip }, async (t) => {
    // fuse-native does not tell who calls, so the command refuses the option there.
    const account = binding === "kernel" ? { options: "deliver=65534" } : {};
    const mount = await ServedMount.start({ binding, ...account });
    t.teardown(() => mount.end());
    const { mountpoint } = mount;
    const shell = (script: string, uid?: number) =>
      run("bash", ["-c", `cd ${mountpoint} || exit 9\n${script}`], "", uid);
    const text = async (name: string) => (await shell(`cat -- '${name}'`)).stdout;
    const message = join(work, "message");
    writeFileSync(message, "Subject: one\n\nbody\n");

    await t.test("from a shell", async (t) => {
      const ask = await shell(`exec 3<>.onespool; echo '{"op":"statistics"}' >&3; head -n1 <&3`);
      t.match(JSON.parse(ask.stdout), { ok: true, logicalBytes: 0 });
      const sent = await shell(`
        touch a b
        exec 3<>.onespool
        printf '%s\\n%s' '{"op":"deliver","shared":[{"bytes":6}],"to":[{"path":"a","privateBytes":2},
          {"path":"b"}],"bodyBytes":8}' 'sharedA ' >&3
        head -n1 <&3`);
      t.match(JSON.parse(sent.stdout), { ok: false, error: "EPROTO" }, "a request is one line");
      const again = await shell(`
        exec 3<>.onespool
        printf '%s\\n%s' '{"op":"deliver","shared":[{"bytes":6}],"to":[{"path":"a","privateBytes":2},{"path":"b"}],"bodyBytes":8}' 'sharedA ' >&3
        head -n1 <&3
        echo '{"op":"nonsense"}' >&3
        head -n1 <&3`);
      const [first, second] = again.stdout.split("\n");
      t.strictSame(JSON.parse(`${first}`), { ok: true, delivered: 2, pending: 0 });
      t.match(JSON.parse(`${second}`), { ok: false, error: "EOPNOTSUPP" });
      t.equal(await text("a"), "A shared");
      t.equal(await text("b"), "shared");
    });

    const clients: readonly (readonly [string, string, readonly string[]])[] = [
      ["C", compiled, []],
      ["Python", "python3", [python]],
    ];
    for (const [language, command, before] of clients) {
      const client = (args: readonly string[], input = "") =>
        run(command, [...before, mountpoint, ...args], input);

      await t.test(`from ${language}`, async (t) => {
        const names = [`${language} x`, `${language}"quoted"`, `${language}-ö`];
        t.match(await client(["deliver", message, ...names]), {
          status: 1,
          stdout: /"ENOENT"/,
        });
        t.match(await client(["deliver", "-c", message, ...names]), { status: 0, stderr: "" });
        t.match(await client(["deliver", "-", names[0] as string], "from stdin\n"), { status: 0 });
        t.equal(await text(names[0] as string), "Subject: one\n\nbody\nfrom stdin\n");
        for (const name of names.slice(1)) t.equal(await text(name), "Subject: one\n\nbody\n");
        const statistics = await client(["statistics"]);
        t.match(JSON.parse(statistics.stdout), { ok: true, files: Number });
        const one = await client(["statistics", names[2] as string]);
        t.match(JSON.parse(one.stdout), { ok: true, logicalBytes: 19 });
        t.match(await client(["bake", "a", "cake"]), { status: 2 });
      });

      await t.test(`from ${language}, more than an ioctl carries`, async (t) => {
        const long = "x".repeat(3_000_000);
        const name = `${language}-long`;
        t.match(await client(["deliver", "-c", "-", name], long), { status: 0, stderr: "" });
        t.ok((await text(name)) === long);
      });
    }

    await t.test("from Node, several clients side by side", async (t) => {
      const outcome = await node(
        mountpoint,
        `const clients = await Promise.all([1, 2, 3].map(() => HintClient.open(${JSON.stringify(mountpoint)})));
        const names = Array.from({ length: 20 }, (_, k) => "node" + k);
        const create = { mode: 0o640 };
        const bytes = Buffer.from("shared\\n".repeat(100_000));
        await client.deliver([{ bytes }], names.map((path) => ({ path, create, private: Buffer.from(path) })));
        const [unit] = await client.write([Buffer.from("unit")]);
        await Promise.all([...clients, client].flatMap((one, k) => names.map((path) =>
          one.deliver(one === client ? [{ unit }] : [{ bytes: Buffer.from("" + k) }], [{ path }]))));
        const refused = await client.deliver([{ unit }], [{ path: "node0" }, { path: Buffer.from("\\xff", "latin1") }])
          .catch((error) => error);
        await client.share("node1", 0, 5, "node2");
        await client.remove("node3", 0, 5);
        await client.forget([unit]);
        const { logicalBytes } = await client.statistics("node3");
        for (const one of clients) await one.close();
        print({ logicalBytes, error: refused instanceof HintError, ...refused, path: refused.path.toString("latin1") });`,
      );
      const length = 5 + 7 * 100_000 + 3 + 4;
      t.match(outcome, {
        logicalBytes: length - 5,
        error: true,
        code: "ENOENT",
        reason: "notFound",
        path: "\xff",
      });
      const file = await text("node19");
      t.equal(file.length, length + 1);
      t.ok(file.startsWith("node19shared\n"));
      t.ok((await text("node2")).endsWith("node2".slice(0, 4) + "1"));
    });

    await t.test("the control file is not a file like others", async (t) => {
      const outcome = await shell(`
        ls -A | grep -c onespool
        stat -c '%a %u' .onespool
        rm .onespool 2>/dev/null || echo kept
        mv a .onespool 2>/dev/null || echo kept
        echo '{"op":"statistics"}' > .onespool && echo written`);
      // Through fuse-native every caller would have the rights of the one who mounted.
      const mode = binding === "kernel" ? "666" : "600";
      t.equal(outcome.stdout, `0\n${mode} 0\nkept\nkept\nwritten\n`);
    });

    const kernelOnly = binding === "kernel" ? {} : { skip: "this binding gives no caller ids" };
    await t.test("a request has the rights of the user who opened", kernelOnly, async (t) => {
      await shell("touch mine theirs; chown 65533 theirs; chmod 600 mine theirs");
      const ask = (path: string) => `exec 3<>.onespool
        printf '%s\\n%s' '{"op":"deliver","shared":[{"bytes":1}],"to":[{"path":"${path}"}],"bodyBytes":1}' x >&3
        head -n1 <&3`;
      const as = async (uid: number, path: string) =>
        JSON.parse((await shell(ask(path), uid)).stdout) as unknown;
      t.match(await as(65533, "mine"), { error: "EACCES", path: "mine" });
      t.match(await as(65533, "theirs"), { ok: true });
      t.match(await as(65534, "mine"), { ok: true }, "the deliver account");
      const read = await shell("cat mine", 65534);
      t.equal(read.status, 1, "which cannot read what it delivered");
      t.equal(await text("mine"), "x");
      const statistics = `exec 3<>.onespool; echo '{"op":"statistics"}' >&3; head -n1 <&3`;
      const { stdout } = await shell(statistics, 65533);
      t.strictSame(Object.keys(JSON.parse(stdout) as object), ["ok", "logicalBytes", "files"]);
    });

    await t.test("supplementary groups of the opener count", kernelOnly, async (t) => {
      await shell("touch group; chown 0:4242 group; chmod 660 group");
      const script = `import os, sys
os.setgroups([int(sys.argv[1])]); os.setgid(65533); os.setuid(65533)
fd = os.open("${mountpoint}/.onespool", os.O_RDWR)
os.write(fd, b'{"op":"deliver","shared":[{"bytes":1}],"to":[{"path":"group"}],"bodyBytes":1}\\nx')
print(os.read(fd, 65536).decode())`;
      const as = async (group: string) =>
        JSON.parse((await run("python3", ["-c", script, group])).stdout) as unknown;
      t.match(await as("4243"), { error: "EACCES" });
      t.match(await as("4242"), { ok: true });
    });

    const ioctlOnly = binding === "kernel" ? {} : { skip: "this binding carries no ioctl" };
    await t.test("an ioctl works on any open file of the mount", ioctlOnly, async (t) => {
      const script = `import os, sys; sys.path.insert(0, ${JSON.stringify(join(python, ".."))})
sys.dont_write_bytecode = True
import onespool_client as c
fd = os.open("${mountpoint}/a", os.O_RDONLY)
print(c.ioctl(fd, b'{"op":"deliver","shared":[{"bytes":4}],"to":[{"path":"b"}],"bodyBytes":4}\\nmore').decode())`;
      t.match(JSON.parse((await run("python3", ["-c", script])).stdout), { delivered: 1 });
      t.equal(await text("b"), "sharedmore");
    });

    await t.test(
      "a delivery under another process's lock is seen by whoever gets the next",
      kernelOnly,
      async (t) => {
        const script = `import fcntl, os, sys; sys.path.insert(0, ${JSON.stringify(join(python, ".."))})
sys.dont_write_bytecode = True
import onespool_client as c
path = "${mountpoint}/locked"
file = open(path, "w+b"); file.write(b"old "); file.flush()
client = c.Client("${mountpoint}")
size = lambda: os.fstat(file.fileno()).st_size
def deliver():
    before = size()
    pending = client.deliver(b"new ", ["locked"])["pending"]
    print(pending, size() - before, end=" ")
for lock in (fcntl.lockf, fcntl.flock):
    lock(file, fcntl.LOCK_EX); deliver(); lock(file, fcntl.LOCK_UN)
    lock(file, fcntl.LOCK_EX); print(size()); lock(file, fcntl.LOCK_UN)
open(path + ".lock", "x").close(); deliver(); os.unlink(path + ".lock")
open(path + ".lock", "x").close(); print(size(), file.seek(0), file.read()); os.unlink(path + ".lock")`;
        const outcome = await run("python3", ["-c", script]);
        t.equal(outcome.stderr, "");
        t.equal(outcome.stdout, "1 0 8\n1 0 12\n1 0 16 0 b'old new new new '\n");
      },
    );

    await t.test("remove works under the caller's own lock only", kernelOnly, async (t) => {
      const script = `import fcntl, subprocess, sys, threading; sys.path.insert(0, ${JSON.stringify(join(python, ".."))})
sys.dont_write_bytecode = True
import onespool_client as c
def remove():
    try:
        print(c.Client("${mountpoint}").request({"op": "remove", "path": "own", "offset": 0, "length": 1})["size"])
    except c.HintError as refused:
        print(refused.reply["reason"])
    sys.stdout.flush()
if len(sys.argv) > 1:
    remove()
    sys.exit()
file = open("${mountpoint}/own", "w+b"); file.write(b"12345"); file.flush()
for lock in (fcntl.lockf, fcntl.flock):
    lock(file, fcntl.LOCK_EX)
    thread = threading.Thread(target=remove); thread.start(); thread.join()
    subprocess.run([sys.executable, __file__, "other"])
    lock(file, fcntl.LOCK_UN)
print(file.seek(0), file.read())`;
      const file = join(work, "remove.py");
      writeFileSync(file, script);
      const outcome = await run("python3", [file]);
      t.equal(outcome.stderr, "");
      t.equal(outcome.stdout, "4\nlocked\n3\nlocked\n0 b'345'\n");
    });

    t.ok(mount.running, "the server lives");
    await mount.stop();
  });
}
