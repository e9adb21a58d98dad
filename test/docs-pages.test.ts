/** What docs/ says to write into the files of other programs is right by those programs, and links lead somewhere. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import t from "tap";
import { parseMountOptions } from "../cli/mount-options.ts";
import { parseHelperOptions } from "../cli/mount-helper-options.ts";
import { allPages, blocksIn, blocksOf, blockText, pages } from "./doc-blocks.ts";
import { onespool } from "./cli-process.ts";
import { missingProgram, run, searchPath } from "./system/command.ts";
import { sourcePath } from "./system/source.ts";

t.setTimeout(120_000);
const directory = mkdtempSync(join(tmpdir(), "onespool-docs-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function needs(...programs: string[]): { skip?: string } {
  const skip = missingProgram(...programs);
  return skip === undefined ? {} : { skip };
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): Set<string> {
  const headings = text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm);
  return new Set(
    Array.from(headings, ([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

t.test("links between the pages lead to a file and a heading", async (t) => {
  for (const page of allPages()) {
    const path = realpathSync(sourcePath(page));
    const text = readFileSync(path, "utf8").replaceAll(/^```[\s\S]*?^```$/gm, "");
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? path : join(dirname(path), file);
      t.ok(existsSync(target), `${page}: ${link}`);
      if (anchor === undefined || !existsSync(target)) continue;
      t.ok(anchorsOf(readFileSync(target, "utf8")).has(anchor), `${page}: ${link}`);
    }
  }
});

t.test("README.md leads to every page", async (t) => {
  const text = readFileSync(sourcePath("README.md"), "utf8");
  const own = allPages().filter((page) => /^docs\/[^/]+$/.test(page));
  t.ok(own.length >= 15);
  for (const page of own) t.ok(text.includes(`](${page})`), page);
});

t.test("a decision is called by its number, which no other has", async (t) => {
  const numbers = new Map<string, string>();
  for (const page of allPages()) {
    const text = readFileSync(sourcePath(page), "utf8");
    for (const [link, number, name] of text.matchAll(/\[decision (\d+)\]\(\S*\/(\S+)\)/g)) {
      t.ok(name!.startsWith(`${number}-`), `${page}: ${link}`);
    }
    const [, number] = /^docs\/decisions\/(\d{3})-/.exec(page) ?? [];
    if (number === undefined) continue;
    t.equal(numbers.get(number), undefined, page);
    numbers.set(number, page);
    t.ok(text.startsWith(`# ${number}: `), page);
  }
  t.ok(numbers.size >= 14);
});

t.test("every block of configuration is of a kind that is checked", async (t) => {
  const checked = ["dovecot", "postfix", "fstab", "systemd", "toml", "muttrc", "procmailrc"];
  const shown = ["sh", "text"];
  for (const { page, language } of pages.flatMap(blocksOf)) {
    t.ok([...checked, "mailfilter", ...shown].includes(language), `${page}: ${language}`);
  }
});

t.test("Dovecot reads its blocks", needs("doveconf"), async (t) => {
  for (const { name, text } of blocksIn("dovecot")) {
    const file = write(`dovecot/${name}.conf`, text);
    const { code, output, errors } = await run(["doveconf", "-c", file, "-n"]);
    t.equal(code, 0, name);
    t.equal(errors, "", name);
    t.match(output, /^mail_location = mbox:.*:INDEX=\/var\/lib\/dovecot\/indexes\//m);
  }
});

const debianAuth = "/etc/dovecot/conf.d/10-auth.conf";
const noDebianAuth = existsSync(debianAuth)
  ? needs("doveconf")
  : { skip: `${debianAuth} is missing` };

t.test("with Debian's files each asks one passdb and one userdb", noDebianAuth, async (t) => {
  const page = "DOVECOT.md";
  const [comment] = blocksOf(page).filter(({ text }) => text.startsWith("#!include"));
  for (const [name, drivers] of [
    ["system", ["pam", "passwd"]],
    ["virtual", ["passwd-file", "static"]],
  ] as const) {
    const place = join(directory, `debian-${name}`);
    cpSync("/etc/dovecot/conf.d", join(place, "conf.d"), { recursive: true });
    const file = write(
      `debian-${name}/dovecot.conf`,
      "!include conf.d/*.conf\n!include local.conf\n",
    );
    write(`debian-${name}/local.conf`, blockText(page, "dovecot", name));
    const auth = join(place, "conf.d/10-auth.conf");
    const line = comment!.text.slice(1);
    const before = readFileSync(auth, "utf8");
    t.ok(before.includes(`\n${line}`));
    if (name === "virtual") writeFileSync(auth, before.replace(`\n${line}`, `\n#${line}`));
    const { output } = await run(["doveconf", "-c", file, "-n", "passdb", "userdb"]);
    t.same(
      Array.from(output.matchAll(/^ +driver = (.+)$/gm), ([, driver]) => driver),
      drivers,
      name,
    );
  }
});

t.test("the defaults that docs/DOVECOT.md names are those", needs("doveconf"), async (t) => {
  const text = readFileSync(sourcePath("docs/DOVECOT.md"), "utf8");
  const rows = Array.from(text.matchAll(/^\| `(\w+)` \| (?:`([^`]*)`|empty) \(default\)/gm));
  t.ok(rows.length >= 7, `${rows.length} rows`);
  for (const [, setting = "", value = ""] of rows) {
    const { output } = await run(["doveconf", "-d", setting]);
    t.equal(output.trim(), `${setting} = ${value}`.trim());
  }
});

t.test("Postfix reads its blocks, and knows every parameter", needs("postconf"), async (t) => {
  for (const { name, text } of blocksIn("postfix")) {
    const config = dirname(write(`postfix-${name}/main.cf`, text));
    write(`postfix-${name}/master.cf`, "lmtp unix - - n - - lmtp\n");
    const { code, output, errors } = await run(["postconf", "-c", config, "-n"]);
    t.equal(code, 0, name);
    t.equal(errors, "", name);
    const wanted = text.split("\n").filter((line) => /^\w/.test(line));
    const read = output.trim().split("\n");
    t.same(
      read.filter((line) => !line.startsWith("config_directory")),
      wanted.toSorted(),
      name,
    );
  }
});

t.test("fstab's line is understood by mount(8) and by the helper", needs("findmnt"), async (t) => {
  const [block] = blocksIn("fstab");
  const file = write("fstab", block!.text);
  const { output, errors } = await run(["findmnt", "--verify", "--tab-file", file]);
  t.match(output + errors, /0 parse errors, 0 errors/);
  const [, , type, options] = block!.text.split(" ");
  t.equal(type, "fuse.onespool");
  const ours = parseHelperOptions([options!], false);
  t.same(ours, { binding: "auto", options: [] });
});

t.test("every mount option of docs/MOUNTING.md is as it says", async (t) => {
  const text = readFileSync(sourcePath("docs/MOUNTING.md"), "utf8");
  const rows = Array.from(text.matchAll(/^\| (`.+) \| (.+) \|$/gm));
  const refused = (option: string): boolean => {
    try {
      const { options } = parseHelperOptions([option], false);
      parseMountOptions(
        options.some((own) => own.includes("_dirs")) ? ["deliver=1", ...options] : options,
      );
      return false;
    } catch {
      return true;
    }
  };
  t.ok(rows.length >= 8);
  for (const [, names = "", meaning = ""] of rows) {
    for (const [, name = ""] of names.matchAll(/`([^`]+)`/g)) {
      const option = name.replace("UID", "12").replace("/A[:/B]", "/a:/b").replace("...", "abc");
      t.equal(refused(option), meaning.startsWith("refused"), option);
    }
  }
});

t.test("systemd accepts the units", needs("systemd-analyze"), async (t) => {
  for (const { name, text } of blocksIn("systemd")) {
    // A drop-in is verified as a part of a service.
    const isDropIn = !text.includes("[Mount]");
    const unit = isDropIn ? `${text}\n[Service]\nExecStart=/bin/true\n` : text;
    const file = write(`units/${name}`, unit);
    const { code, errors } = await run(["systemd-analyze", "verify", "--man=no", file]);
    t.equal(code, 0, name);
    t.notMatch(errors, new RegExp(`${name}:\\d+: `), name);
    t.match(text, /^RequiresMountsFor=\/var\//m);
  }
});

const generator = "/usr/lib/systemd/system-generators/systemd-fstab-generator";
const noGenerator = existsSync(generator) ? {} : { skip: `${generator} is missing` };

t.test("systemd makes the same mount of fstab's line", noGenerator, async (t) => {
  const environment = { SYSTEMD_FSTAB: write("fstab", blocksIn("fstab")[0]!.text) };
  const out = join(directory, "generated");
  mkdirSync(out);
  const { code } = await run([generator, out, out, out], { environment });
  t.equal(code, 0);
  const made = readFileSync(join(out, "var-mail.mount"), "utf8");
  const [unit] = blocksIn("systemd").filter(({ name }) => name === "var-mail.mount");
  for (const key of ["RequiresMountsFor", "What", "Where", "Type", "TimeoutSec"]) {
    const line = new RegExp(`^${key}=.+$`, "m");
    t.equal(made.match(line)?.[0], unit!.text.match(line)?.[0], key);
  }
});

t.test("onespool check-config accepts its blocks", async (t) => {
  for (const { page, name, text } of blocksIn("toml")) {
    const users = write("users", "alice\n");
    const own = text
      .replace("/etc/onespool/users", users)
      // Accounts of the site.
      .replace("vmail:vmail", "root:mail");
    const { code, stderr } = await onespool("check-config", write(`${name}.toml`, own));
    t.equal(code, 0, `${page} ${name}: ${stderr}`);
  }
});

t.test("mutt takes its block", needs("mutt"), async (t) => {
  const [block] = blocksIn("muttrc");
  const file = write("muttrc", block!.text);
  const environment = { LOGNAME: "alice" };
  const { code, output, errors } = await run(["mutt", "-n", "-F", file, "-D"], {
    environment,
    directory,
  });
  t.equal(code, 0);
  t.equal(errors, "");
  t.match(output, /^spoolfile="\/var\/mail\/alice"$/m);
});

t.test(
  "procmail and maildrop file the example into the folder",
  needs("procmail", "maildrop"),
  async (t) => {
    const from = "From a@example.net Thu Jan  1 00:00:00 2026\n";
    const mail = "From: a@example.net\nList-Id: <x.lists.example.org>\nSubject: s\n\nbody\n";
    for (const [program, language] of [
      ["procmail", "procmailrc"],
      ["maildrop", "mailfilter"],
    ] as const) {
      const place = join(directory, program);
      const { username } = userInfo();
      const folders = join(place, `${username}.folders`);
      mkdirSync(folders, { recursive: true });
      const [block] = blocksIn(language);
      const file = write(language, block!.text.replaceAll("/var/mail", place));
      const command =
        program === "procmail"
          ? // As a filter: else it makes the caller a mailbox in /var/mail.
            ["procmail", "-m", `DEFAULT=${place}/other`, file]
          : ["maildrop", file];
      const input = program === "procmail" ? from + mail : mail;
      const environment = { LOGNAME: username };
      const { code, errors } = await run(command, { input, directory, environment });
      t.equal(code, 0, `${program}: ${errors}`);
      t.match(
        readFileSync(join(folders, "lists.mbox"), "utf8"),
        /^From .*\nFrom: a@example\.net\n/,
      );
    }
  },
);

t.test("the sed of docs/MBOX.md takes the quoting away", async (t) => {
  const text = readFileSync(sourcePath("docs/MBOX.md"), "utf8");
  const [, script = ""] = /`sed '([^']+)'`/.exec(text) ?? [];
  const { status, stdout } = spawnSync("sed", [script], {
    input: ">From a\n>>From b\n> From c\nxFrom d\n",
    encoding: "utf8",
    env: { PATH: searchPath },
    timeout: 10_000,
  });
  t.equal(status, 0);
  t.equal(stdout, "From a\n>From b\n> From c\nxFrom d\n");
});
