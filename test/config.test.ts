/** The configuration file: what it comes to, what is refused and how, and that docs/CONFIG.md says the same. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Config } from "../server/config/config.ts";
import { defaultConfig, limitDefaults, workerDefaults } from "../server/config/defaults.ts";
import type { LoadedConfig } from "../server/config/load.ts";
import { loadConfig, readConfig } from "../server/config/load.ts";
import { limitKeys, type NumberKey, workerKeys } from "../server/config/number-keys.ts";
import { printConfig, rowsOf } from "../server/config/print.ts";
import { ConfigError } from "../server/config/problems.ts";
import { allowedKeys } from "../server/config/schema.ts";
import { boundsOf, formatNumber } from "../server/config/settings.ts";
import { readTls } from "../server/config/tls.ts";
import { Recipients } from "../server/recipients/recipients.ts";
import { sourcePath } from "./system/source.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-config-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const inside = (name: string): string => join(directory, name);

const recipients = '[recipients]\ndomains = ["example.test"]\nusers = ["alice", "bob"]\n';
const path = inside("server.toml");

function write(text: string): void {
  writeFileSync(path, text);
}

/** `top` stands before the tables. */
function load(tables: string, top = ""): Config {
  write(`${top}\n${recipients}${tables}`);
  return loadConfig(path);
}

/** What is said of a file, without its name; warnings too. Not as root unless told. */
function said(text: string, isRoot = false): string[] {
  write(text);
  const lines = (found: LoadedConfig): string[] =>
    found.warnings.map((each) => `warning ${each.place}: ${each.text}`);
  try {
    return lines(readConfig(path, isRoot)).map((line) => line.replace(`${path}:`, ""));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split("\n").map((line) => line.replace(`${path}:`, ""));
  }
}

t.test("domains and users are all that a file must have; the rest is the embedded default", (t) => {
  write(recipients);
  const { config, warnings } = readConfig(path, false);
  const expected = defaultConfig(directory, false);
  t.strictSame(config, {
    ...expected,
    recipients: { ...expected.recipients, users: { lines: ["alice", "bob"] }, postmaster: "alice" },
  });
  t.strictSame(warnings, []);
  t.end();
});

t.test("the embedded default can be used", async (t) => {
  const config = defaultConfig(directory, false);
  const loaded = await Recipients.load(config.recipients);
  t.equal(loaded.size, 20);
  t.equal(loaded.resolve("user20@example.test").kind, "accepted");
  t.equal(config.user, undefined);
  t.equal(config.recipients.owner, undefined);
  t.equal(config.spool.mount, inside("spool"));
  const asRoot = defaultConfig(directory, true);
  t.equal(asRoot.user, "nobody");
  t.equal(asRoot.recipients.owner?.uid, 0);
});

t.test("every default is within its bounds", (t) => {
  const rows = [
    ...Object.entries<NumberKey>(limitKeys).map(([field, key]) => [
      key,
      limitDefaults[field as keyof typeof limitKeys],
    ]),
    ...Object.entries<NumberKey>(workerKeys).map(([field, key]) => [
      key,
      workerDefaults()[field as keyof typeof workerKeys],
    ]),
  ] as [NumberKey, number][];
  for (const [key, value] of rows) {
    t.ok(value * key.scale >= key.min && value * key.scale <= key.max, key.key);
  }
  t.end();
});

t.test("sizes, times and places are read with their units", (t) => {
  const config = load(
    `quota = "1 GiB"
[limits]
message_size_max = "30MiB"
line_size_max = 2000
command_timeout = "90s"
greeting_delay = "500ms"
session_timeout = "2h"
[workers]
memory_max = "1GiB"
[listen]
smtp = ["[::1]:2525", "127.0.0.1:0"]
[spool]
store = "s"
mount = "/srv/m"
[log]
file = "log"`,
    'metrics = "off"\nproxy_from = ["10.0.0.0/8", "2001:db8::1"]',
  );
  t.match(config.limits, {
    messageBytesMax: 30 * 1024 * 1024,
    lineBytesMax: 2000,
    commandMs: 90_000,
    greetingDelayMs: 500,
    sessionMs: 7_200_000,
  });
  t.equal(config.recipients.quotaBytes, 1024 ** 3);
  t.equal(config.workers.memoryMiBMax, 1024);
  t.strictSame(config.listen, [
    { protocol: "smtp", address: "::1", port: 2525 },
    { protocol: "smtp", address: "127.0.0.1", port: 0 },
  ]);
  t.match(config.spool, { store: inside("s"), mount: "/srv/m" });
  t.equal(config.log.file, inside("log"));
  t.equal(config.metrics, undefined);
  t.strictSame(config.proxyFrom, ["10.0.0.0/8", "2001:db8::1"]);
  t.end();
});

t.test("all that is wrong is told at once, each with its line, name and what is allowed", (t) => {
  const lines = said(`hostname = "no host"
share = "all"
[limits]
recipients_max = "many"
messages_max = 0
command_timeout = 300
message_size_max = "25MB"
header_size_max = "65KiB"
[listen]
smtp = ["localhost:25", "127.0.0.1:25"]
[recipients]
domains = ["example.test", "a b"]
users = 5
mailbox = "../{user}"
[workers]
memory_max = "100000000B"
[tls]
certificate = "c"
`);
  t.strictSame(lines, [
    '1: hostname: must be a host name ("mail.example.org"), not "no host"',
    '2: share: must be one of "spam", "multi", "off", not "all"',
    '4: limits.recipients_max: must be a whole number from 1 to 10000, not "many"',
    "5: limits.messages_max: must be a whole number from 1 to 1000000, not 0",
    '6: limits.command_timeout: must be a time with its unit ("500ms", "30s", "5m", "1h") from 1s to 1h, not 300',
    '7: limits.message_size_max: must be a size ("64KiB", or bytes as a number) from 1KiB to 60MiB, not "25MB"',
    '8: limits.header_size_max: must be a size ("64KiB", or bytes as a number) from 1KiB to 64KiB, not "65KiB"',
    '10: listen.smtp[0]: must be an address and a port ("127.0.0.1:25", "[::1]:25"), not "localhost:25"',
    '12: recipients.domains[1]: must be a domain ("example.org"), not "a b"',
    '13: recipients.users: must be "system", the path of a users file, or an array of users, not 5',
    '14: recipients.mailbox: "../{user}": must have no empty name, "." or ".." in it',
    '16: workers.memory_max: must be a size ("64KiB", or bytes as a number) from 64MiB to 1TiB, not "100000000B"',
    "17: tls.key: is missing",
  ]);
  t.end();
});

t.test("a key that is not known is refused, with the one that was meant", (t) => {
  const lines = said(`${recipients}ctach_all = "alice"
color = "red"
[limits]
metrics = "off"
recipient-max = 5
[mail]
x = 1
`);
  t.strictSame(lines, [
    "4: recipients.ctach_all: no such key; did you mean catch_all?",
    "5: recipients.color: no such key; allowed are domains, users, aliases, catch_all, postmaster, detail_separator, mailbox, owner, quota",
    "7: limits.metrics: no such key; it belongs to the top of the file, before the first [table]",
    "8: limits.recipient-max: no such key; did you mean recipients_max?",
    "9: mail: no such key; allowed are hostname, user, share, bare_newline, proxy_from, xclient_from, metrics, listen, spool, tls, recipients, limits, workers, log",
  ]);
  t.end();
});

t.test("a syntax error is told with line and column", (t) => {
  t.strictSame(said('a = "x'), ["1:7: Unterminated string constant"]);
  t.strictSame(said("[limits]\nmessages_max = \n"), ["2:15: Unspecified values are invalid"]);
  t.strictSame(said("x.__proto__.y = 1\n"), ["1:3: the key __proto__ is not allowed"]);
  t.equal(({} as { y?: unknown }).y, undefined);
  t.strictSame(said("[limits]\nmessages_max = 1\nmessages_max = 2\n").length, 1);
  t.throws(() => loadConfig(inside("missing.toml")), {
    code: "CONFIG",
    message: `${inside("missing.toml")}: no such file`,
  });
  t.end();
});

t.test("a limit is not above the one that it lies in; its default follows", (t) => {
  t.match(load('[limits]\ncommand_timeout = "5s"\nerrors_hard = 3').limits, {
    stressCommandMs: 5000,
    errorsSoft: 3,
    stressErrorsHard: 3,
  });
  t.match(load('[limits]\nsession_timeout = "30s"').limits, {
    commandMs: 30_000,
    unusedMs: 30_000,
  });
  t.strictSame(said(`${recipients}[limits]\nerrors_soft = 30`), [
    "5: limits.errors_soft: must not be above limits.errors_hard (20)",
  ]);
  t.strictSame(said(`${recipients}[limits]\nrecipients_max = 50`), [
    "warning 5: limits.recipients_max: RFC 5321 section 4.5.3.1.8 has at least 100",
  ]);
  t.end();
});

t.test("no two listeners are in one place", (t) => {
  const lines = said(`metrics = "127.0.0.1:9525"
${recipients}[listen]
smtp = ["[::]:25", "127.0.0.1:25", "127.0.0.1:9525"]
lmtp = ["[::1]:24", "[0:0::1]:24"]
`);
  t.strictSame(lines, [
    "1: metrics: is where smtp listens",
    "6: listen.smtp[1]: 127.0.0.1:25 is taken by smtp [::]:25",
    "7: listen.lmtp[1]: [0:0::1]:24 is taken by lmtp [::1]:24",
  ]);
  t.strictSame(said(`metrics = "192.0.2.1:9525"\n${recipients}[listen]\n`), [
    "1: metrics: must be a loopback address",
    "5: listen: the server must listen somewhere",
  ]);
  t.end();
});

t.test("what is open to the network without need is warned about", (t) => {
  const lines = said(`xclient_from = ["0.0.0.0/0"]
${recipients}[listen]
smtp = ["[::]:25"]
lmtp = ["0.0.0.0:24"]
`);
  t.strictSame(lines, [
    "warning 1: xclient_from[0]: anybody may say to be anybody else",
    "warning 6: listen.smtp[0]: [::]:25 is no loopback address, and there is no [tls]",
    "warning 7: listen.lmtp[0]: 0.0.0.0:24 is no loopback address: LMTP has no defence of its own",
  ]);
  t.end();
});

t.test("a block of addresses has no bits behind its prefix", (t) => {
  t.strictSame(
    said(`proxy_from = ["10.0.0.1/8", "10", "10.0.0.0/33", "::1/128", "x"]\n${recipients}`).map(
      (line) => line.replace(/must.*not/, "not"),
    ),
    [
      '1: proxy_from[0]: not "10.0.0.1/8"',
      '1: proxy_from[1]: not "10"',
      '1: proxy_from[2]: not "10.0.0.0/33"',
      '1: proxy_from[4]: not "x"',
    ],
  );
  t.end();
});

t.test("store and mount are apart, and no file of the configuration lies in them", (t) => {
  t.strictSame(said(`${recipients}[spool]\nstore = "a"\nmount = "a/b"`), [
    "6: spool.mount: store and mount must not lie inside each other",
  ]);
  t.strictSame(said(`${recipients}aliases = "spool/aliases"\n[log]\nfile = "spool-store/log"`), [
    `4: recipients.aliases: ${inside("spool/aliases")} must not lie in the mount or in the store`,
    `6: log.file: ${inside("spool-store/log")} must not lie in the mount or in the store`,
  ]);
  t.strictSame(said(`${recipients}[log]\nfile = "no/log"`), [
    `5: log.file: there is no directory ${inside("no")}`,
  ]);
  t.end();
});

t.test("accounts must be there, and front and workers are never root", (t) => {
  t.strictSame(said(`user = "no-such-account"\n${recipients}owner = "nor-this"`), [
    '1: user: there is no account "no-such-account"',
    '5: recipients.owner: there is no account "nor-this"',
  ]);
  t.strictSame(said(`user = "root"\n${recipients}`), [
    "1: user: front and workers must not be root, nor in its group",
  ]);
  t.strictSame(said(`user = "nobody"\n${recipients}owner = "nobody"\n`, true), [
    "warning 1: user: nobody is the owner of the mailboxes too: front and workers could read them",
  ]);
  t.strictSame(load('owner = "12:34"').recipients.owner, { uid: 12, gid: 34 });
  t.strictSame(said(`${recipients}owner = "root:no-such-group"`), [
    '4: recipients.owner: there is no group "no-such-group"',
  ]);
  t.strictSame(said(`${recipients}[spool]\nbinding = "fuse-native"`, true), [
    '5: spool.binding: "fuse-native" lets nobody deliver but the account that mounts, which must not be root',
  ]);
  t.end();
});

t.test("users, aliases, catch-all and postmaster lead to somebody", (t) => {
  writeFileSync(inside("users"), "carol\ndave\n");
  writeFileSync(inside("aliases"), "postmaster: dave\nx: nowhere\n");
  const head = '[recipients]\ndomains = ["example.test"]\nusers = "users"\n';
  write(head);
  t.equal(loadConfig(path).recipients.postmaster, "carol");
  t.strictSame(said(`${head}aliases = "aliases"\n`), [
    `${inside("aliases")}:2: x: "nowhere" is no user and no alias`,
  ]);
  writeFileSync(inside("aliases"), "postmaster: dave\n");
  write(`${head}aliases = "aliases"\n`);
  t.equal(loadConfig(path).recipients.postmaster, "postmaster");
  t.strictSame(said(`${head}catch_all = "alice"\npostmaster = "bob@example.com"`), [
    '4: recipients.catch_all: "alice" is no user and no alias',
    '5: recipients.postmaster: "bob@example.com" is no user and no alias',
  ]);
  t.strictSame(said('[recipients]\ndomains = ["example.test"]\nusers = [\n"a",\n"b/c"]\n'), [
    '5: "b/c": a user\'s name has no "/" or "@" in it',
  ]);
  t.strictSame(said('[recipients]\ndomains = ["example.test"]\nusers = []\n'), [
    "3: recipients.users: there is no user, and somebody must get postmaster's mail",
  ]);
  t.strictSame(said('[recipients]\ndomains = ["example.test"]\nusers = "missing"\n'), [
    `${inside("missing")}: no such file`,
  ]);
  t.end();
});

const notRoot = process.getuid?.() === 0 ? false : "needs a file of another account than daemon";

t.test("an account that others use too is warned about", (t) => {
  t.match(said(recipients, true), [/^warning \d: user: whatever else runs as nobody can deliver/]);
  t.strictSame(said(`user = "daemon"\n${recipients}`, true), []);
  t.end();
});

t.test(
  "a log in a directory that the account can write is warned about",
  { skip: notRoot },
  (t) => {
    mkdirSync(inside("logs"));
    const text = `user = "daemon"\n${recipients}[log]\nfile = "logs/log"\n`;
    t.strictSame(said(text, true), []);
    chmodSync(inside("logs"), 0o777);
    t.strictSame(said(text, true), [
      `warning 6: log.file: ${inside("logs")}: daemon should not be able to write there`,
    ]);
    t.end();
  },
);

t.test("a users file that the account cannot read is warned about", { skip: notRoot }, (t) => {
  mkdirSync(inside("closed"));
  writeFileSync(inside("closed/users"), "carol\n");
  chmodSync(inside("closed"), 0o700);
  t.strictSame(
    said(
      'user = "daemon"\n[recipients]\ndomains = ["example.test"]\nusers = "closed/users"\n',
      true,
    ),
    [
      `warning 4: recipients.users: ${inside("closed/users")}: daemon, as whom front and workers run, cannot read it`,
    ],
  );
  t.end();
});

const noOpenssl = spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is missing";

t.test("certificate and key are read and must fit", { skip: noOpenssl }, (t) => {
  for (const name of ["one", "two"]) {
    const args = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=${name}`;
    const files = ["-keyout", inside(`${name}.key`), "-out", inside(`${name}.pem`)];
    execFileSync("openssl", [...args.split(" "), ...files], { stdio: "pipe" });
    chmodSync(inside(`${name}.key`), 0o600);
  }
  const tls = (certificate: string, key: string): string =>
    `${recipients}[tls]\ncertificate = "${certificate}"\nkey = "${key}"\n`;
  t.strictSame(said(tls("one.pem", "one.key")), []);
  const config = loadConfig(path);
  t.match(readTls(config), {
    certificate: readFileSync(inside("one.pem"), "utf8"),
    key: readFileSync(inside("one.key"), "utf8"),
  });
  t.equal(readTls({ tls: undefined }), undefined);
  t.strictSame(said(tls("one.pem", "two.key")), [
    `6: tls.key: ${inside("two.key")}: is not the key of the certificate`,
  ]);
  t.match(said(tls("one.key", "one.key")), [
    /^5: tls\.certificate: .*one\.key: is no PEM certificate/,
  ]);
  t.match(said(tls("one.pem", "one.pem")), [/^6: tls\.key: .*one\.pem: is no PEM private key/]);
  t.match(said(tls("no.pem", "no.key")), [
    /^5: tls\.certificate: .* cannot be read/,
    /^6: tls\.key/,
  ]);
  chmodSync(inside("one.key"), 0o644);
  t.strictSame(said(tls("one.pem", "one.key")), [
    `warning 6: tls.key: ${inside("one.key")} is open to everybody: chmod 0600`,
  ]);
  rmSync(inside("one.key"));
  t.throws(() => readTls(config), { code: "CONFIG", message: /^tls\.key: / });
  t.end();
});

t.test("giving back space in the background is on, and can be turned off", (t) => {
  t.equal(load("").spool.reclaim, true);
  t.equal(load("[spool]\nreclaim = true").spool.reclaim, true);
  t.equal(load("[spool]\nreclaim = false").spool.reclaim, false);
  t.match(printConfig(load("[spool]\nreclaim = false")), /^reclaim = false$/m);
  t.strictSame(said(`${recipients}[spool]\nreclaim = "off"`), [
    '5: spool.reclaim: must be true or false, without quotation marks, not "off"',
  ]);
  t.strictSame(said(`${recipients}[spool]\nreclaim = 0`), [
    "5: spool.reclaim: must be true or false, without quotation marks, not 0",
  ]);
  t.strictSame(said(`reclaim = false\n${recipients}`), [
    "1: reclaim: no such key; it belongs to [spool]",
  ]);
  t.strictSame(said(`${recipients}[spool]\nnoreclaim = true`), [
    "5: spool.noreclaim: no such key; did you mean reclaim?",
  ]);
  t.end();
});

t.test("what is printed is a configuration that comes to the same", (t) => {
  const config = load(
    'catch_all = "bob"\nquota = "5MiB"\nowner = "5:6"\n[spool]\nreclaim = false\n[limits]\nstress_percent = 70\n[log]\nfile = "x"\nlevel = "warn"',
    'user = "nobody"\nshare = "off"\nmetrics = "off"\nproxy_from = ["::1/128"]',
  );
  write(printConfig(config));
  t.strictSame(loadConfig(path), config);
  t.end();
});

const page = readFileSync(sourcePath("docs/CONFIG.md"), "utf8");

function section(title: string): string {
  return page.split(`\n### ${title}\n`)[1]?.split(/\n##/)[0] ?? "";
}

/** Key to the cells behind it. */
function documented(table: string): Map<string, readonly string[]> {
  const text = section(table === "" ? "Top of the file" : `[${table}]`);
  return new Map(
    [...text.matchAll(/^\| `([^`]+)` \| (.*) \|$/gm)].map(([, key, cells]) => [
      key!,
      cells!.split(" | "),
    ]),
  );
}

t.test("docs/CONFIG.md names every key and none besides", (t) => {
  for (const [table, keys] of allowedKeys()) {
    const expected = keys.filter((key) => !allowedKeys().has(key));
    t.strictSame([...documented(table).keys()].toSorted(), expected.toSorted(), table);
  }
  t.end();
});

t.test("docs/CONFIG.md gives the bounds and defaults of all numbers", (t) => {
  for (const [table, keys, values] of [
    ["limits", limitKeys, limitDefaults],
    ["workers", workerKeys, workerDefaults()],
  ] as const) {
    const rows = documented(table);
    for (const [field, key] of Object.entries<NumberKey>(keys)) {
      const [defaultText = "", allowed = ""] = rows.get(key.key) ?? [];
      const value = (values as unknown as Record<string, number>)[field]!;
      t.equal(`from ${allowed}`.replace(/, .*/, ""), boundsOf(key), key.key);
      // As many as cores: another number on each machine.
      if (key.key !== "count") t.equal(defaultText, `\`${formatNumber(key, value)}\``, key.key);
    }
  }
  t.end();
});

t.test("docs/CONFIG.md gives the other defaults", (t) => {
  const rows = rowsOf(defaultConfig("/", false));
  const shown = (value: unknown): string =>
    typeof value === "string" ? value : JSON.stringify(value);
  /** Of the machine, or without a default: what the page has for these is prose. */
  const prose = new Set(["hostname", "user", "domains", "users", "postmaster"]);
  let compared = 0;
  for (const table of ["", "listen", "spool", "recipients", "log"]) {
    const cells = documented(table);
    for (const [key, value] of Object.entries(rows.get(table) ?? {})) {
      if (prose.has(key) || value === undefined) continue;
      const text = shown(value).replace(/^\//, "");
      t.equal(cells.get(key)?.[0], `\`${text}\``, key);
      compared++;
    }
  }
  t.equal(compared, 15);
  t.end();
});

t.test("the examples of docs/CONFIG.md can be used", (t) => {
  const blocks = [...page.matchAll(/```(?:toml)?\n([\s\S]*?)```/g)].map(([, text]) => text!);
  const [config = "", users = "", aliases = ""] = blocks;
  t.equal(blocks.length, 3);
  writeFileSync(inside("users"), users);
  writeFileSync(inside("aliases"), aliases);
  const text = config
    .replace(/\[tls\]\n.*\n.*\n/, "")
    .replaceAll("/etc/onespool/", "")
    .replaceAll("/var/log/", "")
    .replace('user = "onespool"', 'user = "daemon"');
  t.strictSame(
    said(text, true).filter(
      (line) => !line.includes("no [tls]") && !line.includes("cannot read it"),
    ),
    [],
  );
  const loaded = loadConfig(path);
  t.equal(loaded.limits.messageBytesMax, 50 * 1024 * 1024);
  t.end();
});
