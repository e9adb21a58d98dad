/** mount(8) and umount(8) with the type fuse.onespool, through a link in /sbin that this test makes. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import { isOnespool, mountAt, readMounts } from "../cli/mountinfo.ts";
import {
  killWithKeeper,
  noKernelBinding,
  onespool,
  run,
  servingProcess,
  type Ended,
} from "./cli-process.ts";
import { isRunning, processesWith, until } from "./supervised.ts";

const helper = fileURLToPath(new URL("../cli/mount.fuse.onespool.js", import.meta.url));
const link = "/sbin/mount.fuse.onespool";
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
t.setTimeout(240_000);

/** Makes the link; why that cannot be, else false. One to this build may stand there already. */
function install(): string | false {
  const reason = noKernelBinding();
  if (reason !== false) return reason;
  const node = spawnSync("/usr/bin/env", ["-i", `PATH=${systemPath}`, "node", "--version"], {
    timeout: 20_000,
  });
  if (node.status !== 0) return "node is in none of the system's directories for programs";
  // As make does it.
  chmodSync(helper, 0o755);
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) {
    const isOurs = lstatSync(link).isSymbolicLink() && readlinkSync(link) === helper;
    return isOurs ? false : `${link} exists already`;
  }
  try {
    symlinkSync(helper, link);
  } catch (error) {
    return `${link} cannot be made: ${(error as NodeJS.ErrnoException).code}`;
  }
  t.teardown(() => unlinkSync(link));
  return false;
}

const skip = install();

interface Place {
  readonly directory: string;
  readonly store: string;
  readonly mountpoint: string;
}

interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

/** A mount point and a store with nothing in it. */
async function place(t: Tap): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), "onespool-helper-"));
  const mountpoint = join(directory, "spool");
  const store = join(directory, "store");
  mkdirSync(mountpoint);
  t.teardown(async () => {
    if (isMounted(mountpoint)) await run("umount", "-i", "-c", "-l", mountpoint);
    // umount(8) returns before the server has closed its store, in which it may make files until then.
    await until("its server has ended", () => !processesWith(directory).some(isRunning));
    rmSync(directory, { recursive: true, force: true });
  });
  await onespool("mount", store, mountpoint, "-d");
  await onespool("umount", mountpoint);
  return { directory, store, mountpoint };
}

function isMounted(mountpoint: string): boolean {
  const entry = mountAt(readMounts(), mountpoint);
  return entry !== undefined && isOnespool(entry);
}

/** A moment after it has closed its store; a parent may be slow to notice. */
async function hasEnded(pid: string): Promise<boolean> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    try {
      if (/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) return true;
    } catch {
      return true;
    }
    await sleep(50);
  }
  return false;
}

/** As at boot: no PATH, no HOME. */
async function mount(...args: string[]): Promise<Ended> {
  return run("/usr/bin/env", "-i", "/bin/mount", ...args);
}

const done = { code: 0, stdout: "", stderr: "" };

t.test("mount(8) mounts without a PATH, and umount(8) ends the server", { skip }, async (t) => {
  const { store, mountpoint } = await place(t);
  const options = "noexec,nofail,x-systemd.automount";
  t.same(await mount("-t", "fuse.onespool", store, mountpoint, "-o", options), done);
  const shown = await run("findmnt", "-n", "-r", "-o", "SOURCE,FSTYPE,VFS-OPTIONS", mountpoint);
  t.match(shown.stdout, `${store} fuse.onespool rw,nosuid,nodev,noexec`);
  t.match(await run("touch", join(mountpoint, "alice")), { code: 0 });
  const pid = readFileSync(join(store, "lock"), "latin1").trim();
  t.same(await run("umount", mountpoint), done);
  t.notOk(isMounted(mountpoint));
  // Waits for the server to close the store, as the next mount does.
  t.match(await mount("-v", "-t", "fuse.onespool", store, mountpoint), {
    code: 0,
    stdout: `${store} is mounted at ${mountpoint} (kernel binding)\n`,
  });
  t.ok(await hasEnded(pid), "the first server has ended");
  t.match(await run("ls", mountpoint), { stdout: "alice\n" });
  t.same(await run("umount", mountpoint), done);
  const log = readFileSync(join(store, "onespool.log"), "utf8");
  t.notMatch(log, /not closed cleanly/);
});

t.test("an entry of fstab is mounted by its directory and with all others", { skip }, async (t) => {
  const { directory, store, mountpoint } = await place(t);
  const fstab = join(directory, "fstab");
  const options = "defaults,deliver=12,deliver_dirs=/,nofail,_netdev,x-systemd.mount-timeout=0";
  writeFileSync(fstab, `${store} ${mountpoint} fuse.onespool ${options} 0 0\n`);
  t.same(await mount("-T", fstab, mountpoint), done);
  t.ok(isMounted(mountpoint));
  t.match(await mount("-T", fstab, "-a"), { code: 0 });
  t.equal(readMounts().filter((entry) => entry.mountpoint === mountpoint).length, 1);
  const server = readFileSync(join(store, "lock"), "latin1").trim();
  const line = readFileSync(`/proc/${server}/cmdline`, "latin1").split("\0");
  t.ok(line.includes("deliver=12") && line.includes("deliver_dirs=/"), line.join(" "));
  t.same(await run("umount", mountpoint), done);
  t.same(await mount("-T", fstab, "-a"), done);
  t.ok(isMounted(mountpoint));
  t.same(await run("umount", mountpoint), done);
});

t.test("what cannot be mounted ends with the exit codes of mount(8)", { skip }, async (t) => {
  const { directory, store, mountpoint } = await place(t);
  const missing = join(directory, "missing");
  const empty = join(directory, "empty");
  mkdirSync(empty);
  const expect = async (args: string[], code: number, text: string): Promise<void> => {
    const ended = await mount("-t", "fuse.onespool", ...args);
    t.equal(ended.code, code, args.join(" "));
    t.match(ended.stderr, `mount.fuse.onespool: ${text}`);
    t.notOk(isMounted(mountpoint));
  };
  await expect([missing, mountpoint], 32, `${missing}: there is no store`);
  await expect([empty, mountpoint], 32, `${empty}: there is no store`);
  await expect([store, missing], 32, `${missing}: no such file or directory`);
  await expect([store, mountpoint, "-o", "colour=red"], 1, "-o colour=red: a spool has no such");
  await expect([store, mountpoint, "-o", "ro"], 1, "-o ro: a spool takes deliveries");
  await expect([store, mountpoint, "-o", "users"], 1, "-o users: only root mounts a spool");
  await expect([store, mountpoint, "-o", "deliver=me"], 1, "-o deliver=me: not a numeric user id");
  await expect([store, mountpoint, "-o", "deliver_dirs=/a"], 1, "-o deliver_dirs: says nothing");
  t.notOk(existsSync(missing), "no store is made");
  t.same(await mount("-f", "-t", "fuse.onespool", store, mountpoint), done);
  t.notOk(isMounted(mountpoint), "-f mounts nothing");
});

t.test("a spool is mounted once, and not remounted", { skip }, async (t) => {
  const { directory, store, mountpoint } = await place(t);
  t.same(await mount("-s", "-t", "fuse.onespool", store, mountpoint, "-o", "colour=red"), done);
  t.match(await mount("-t", "fuse.onespool", store, mountpoint), {
    code: 32,
    stderr: `${mountpoint}: ${store} is mounted there already`,
  });
  const other = join(directory, "other");
  mkdirSync(other);
  t.match(await mount("-t", "fuse.onespool", store, other), {
    code: 32,
    stderr: `${store}: is mounted already, at ${mountpoint}`,
  });
  t.match(await mount("-o", "remount,ro", mountpoint), {
    code: 1,
    stderr: "-o remount: a spool cannot be remounted",
  });
  t.match(await run("umount", mountpoint), { code: 0 });
});

t.test("a mount whose server died with its keeper is replaced by mount(8)", { skip }, async (t) => {
  const { store, mountpoint } = await place(t);
  t.same(await mount("-t", "fuse.onespool", store, mountpoint), done);
  t.match(await run("touch", join(mountpoint, "alice")), { code: 0 });
  const serving = servingProcess(store);
  process.kill(serving, "SIGKILL");
  t.match(await run("ls", mountpoint), { stdout: "alice\n" }, "another process goes on");
  t.not(servingProcess(store), serving);
  await killWithKeeper(store);
  t.match(await mount("-t", "fuse.onespool", store, mountpoint), {
    code: 0,
    stderr: /removed a mount whose server was gone/,
  });
  t.match(await run("ls", mountpoint), { stdout: "alice\n" });
  t.match(await run("umount", mountpoint), { code: 0 });
});

t.test("the program has help, and refuses another type", { skip }, async (t) => {
  t.match(await run(link, "--help"), { code: 0, stdout: "Usage: mount.fuse.onespool" });
  t.match(await run(link, "a", "b", "-t", "ext4"), {
    code: 1,
    stderr: "mount.fuse.onespool: -t ext4: this mounts fuse.onespool\n",
  });
  t.match(await run(link, "a"), { code: 1, stderr: /missing required argument/ });
});
