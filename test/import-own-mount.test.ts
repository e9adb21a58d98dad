import t from "tap";
import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endProcess, removeMountpoint } from "../cli/import/own-mount.ts";
import { firstMessage } from "../cli/mount-daemon.ts";
import { collect, command, killWithKeeper, noKernelBinding, run } from "./cli-process.ts";
import { site, userMailbox, writeMailbox } from "./import-tree.ts";
import { eventually } from "./system/harness.ts";

const skip = noKernelBinding();
t.setTimeout(120_000);

const none = { failure: "none", exitCode: 1 };

t.test("the last message of a process counts also when its end was seen first", async (t) => {
  const child = new EventEmitter();
  const message = firstMessage(child as ChildProcess, () => none);
  child.emit("exit", 1, null);
  child.emit("message", { failure: "no such store", exitCode: 4 });
  child.emit("close", 1, null);
  t.match(await message, { failure: "no such store", exitCode: 4 });
});

function startNode(script: string): ChildProcess {
  return spawn(process.execPath, ["-e", script], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
}

t.test("a process that ends with a message, without one, or not at all", async (t) => {
  const told = startNode("process.send({ ready: 'x', warnings: [] }, () => process.exit(3))");
  t.match(await firstMessage(told, () => none), { ready: "x" });
  t.match(await firstMessage(startNode("process.exit(3)"), () => none), none);
  const missing = spawn("/no/such/program", { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  t.match(await firstMessage(missing, () => none), { failure: "no such file or directory" });
});

t.test("a process that does not end by itself is ended", async (t) => {
  const scripts = {
    none: "process.on('disconnect', () => process.exit(0));",
    SIGTERM: "",
    SIGKILL: "process.on('SIGTERM', () => undefined);",
  };
  for (const [signal, script] of Object.entries(scripts)) {
    const child = startNode(`${script} setInterval(() => undefined, 1000); console.log("ready")`);
    const exited = once(child, "exit");
    await once(child.stdout!, "data");
    const closeMs = signal === "none" ? 30_000 : 100;
    const signalMs = signal === "SIGTERM" ? 30_000 : 500;
    await endProcess(child, exited, { closeMs, signalMs });
    t.equal((await exited)[1] ?? "none", signal);
  }
});

t.test("a mount point that is still in use is named", { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-test-busy-"));
  t.teardown(async () => {
    await run("umount", "-i", directory);
    rmSync(directory, { recursive: true, force: true });
  });
  t.equal((await run("mount", "-t", "tmpfs", "none", directory)).code, 0);
  t.throws(() => removeMountpoint(directory), {
    message: `${directory}: the store is still mounted there; \`onespool umount\` frees it`,
  });
});

t.test("the report is printed also when the mount of its own dies", { skip }, async (t) => {
  const { source, store, directory } = site(t);
  writeMailbox(join(source, "free"), userMailbox(1, 2));
  // Which is told at once: then the one before it is done.
  await run("mkfifo", join(source, "gap"));
  writeMailbox(join(source, "held"), userMailbox(1, 2));
  writeMailbox(join(source, "held.lock"), "");
  const temporary = join(directory, "tmp");
  mkdirSync(temporary);
  const args = ["import", "--json", "--create", "--lock-wait", "3600", source, store];
  const child = spawn(process.execPath, [command, ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: "pipe",
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  const ended = collect(child);
  let told = "";
  child.stderr.on("data", (text: string) => (told += text));
  await eventually("the mailbox before the pipe is done", async () => told.includes("gap: "));
  const found = await run("timeout", "10", "find", temporary, "-maxdepth", "2", "-name", "free");
  t.not(found.stdout, "", "it is there");
  const pids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").split(" ");
  const server = pids.find((pid) => {
    if (pid === "") return false;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--while-connected");
  });
  t.ok(server);
  await killWithKeeper(store);
  rmSync(join(source, "held.lock"));
  const { code, stdout, stderr } = await ended;
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { taken: 1 });
  t.match(stderr, /the process that served this mount is gone/, "the first error");
  t.equal((await run("ls", "-A", temporary)).stdout, "", "nothing is left of the mount");
});
