import t from "tap";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onespool } from "./cli-process.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-usage-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
t.setTimeout(240_000);
const inside = (name: string): string => join(directory, name);

t.test("every command has help, and the whole names the exit codes", async (t) => {
  const whole = await onespool("--help");
  t.equal(whole.code, 0);
  t.match(whole.stdout, /Exit codes: 0 done, 1 failed, 2 wrong usage; fsck: 0 clean, 4 errors/);
  for (const name of ["mount", "umount", "deliver", "stat", "fsck"]) {
    t.match(whole.stdout, new RegExp(`^  ${name} `, "m"));
    const { code, stdout } = await onespool(name, "--help");
    t.equal(code, 0);
    t.match(stdout, `Usage: onespool ${name} `);
  }
});

t.test("the version is printed alone", async (t) => {
  t.match(await onespool("--version"), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
});

t.test("wrong usage ends with 2, one line on stderr and nothing on stdout", async (t) => {
  for (const [args, text] of [
    [["mount"], "missing required argument 'store'"],
    [["mount", "a"], "missing required argument 'mountpoint'"],
    [["bogus"], "unknown command 'bogus'"],
    [["stat", "--xml", "a"], "unknown option '--xml'"],
    [["mount", "a", "b", "--binding", "x"], "Allowed choices are auto, kernel, fuse-native."],
    [["mount", "a", "b", "-o", "rw"], "allowed are deliver=UID"],
    [["deliver", "f"], "missing required argument 'mailbox'"],
    [["deliver", "f", "m", "-f", "a\nb"], "a control character in an address"],
    [["deliver", "f", "m\ufffd"], "m\ufffd: not UTF-8"],
    [["mount", "a", "b", "-b", "fuse-native", "-o", "deliver=1"], "-o deliver: fuse-native does"],
  ] as const) {
    const { code, stdout, stderr } = await onespool(...args);
    t.equal(code, 2, args.join(" "));
    t.equal(stdout, "");
    t.match(stderr, /^onespool: [^\n]*\n$/);
    t.ok(stderr.includes(text), `${stderr.trim()} has: ${text}`);
  }
});

t.test("what cannot be done ends with 1 and one line that says what and where", async (t) => {
  writeFileSync(inside("file"), "not a store\n");
  const file = inside("file");
  const missing = inside("missing");
  const store = inside("outer");
  mkdirSync(store);
  writeFileSync(join(store, "format"), "onespool store format 1\n");
  mkdirSync(inside("mountpoint"));
  for (const [args, text] of [
    [["mount", inside("store"), missing], `${missing}: no such file or directory`],
    [["mount", inside("store"), file], `${file}: not a directory`],
    [["mount", inside("s"), directory], "must not lie inside each other"],
    [["mount", join(store, "a/b"), inside("mountpoint")], `lies in the store ${store}`],
    [["umount", directory], `${directory}: no onespool is mounted there`],
    [["deliver", file, inside("mailbox")], `${inside("mailbox")}: not in a mounted spool`],
    [["stat", missing], `${missing}: no such file or directory`],
    [["stat", directory], `${directory}: not a store, not a mounted spool and no file in one`],
    [["fsck", directory], `${directory} is not a store`],
    [["fsck", file], `${file}: not a store (it is not a directory)`],
    [["fsck", missing], `${missing}: no such file or directory`],
  ] as const) {
    const { code, stdout, stderr } = await onespool(...args);
    t.equal(code, 1, args.join(" "));
    t.equal(stdout, "");
    t.match(stderr, /^onespool: [^\n]*\n$/);
    t.ok(stderr.includes(text), `${stderr.trim()} has: ${text}`);
  }
});
