import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import type { RecipientsConfig } from "../server/config/config.ts";
import { RecipientsError } from "../server/config/problems.ts";
import type { Mailbox } from "../server/recipients/mailbox.ts";
import { Recipients } from "../server/recipients/recipients.ts";
import { systemUsers, uidMinOf } from "../server/recipients/system-users.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-recipients-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function file(text: string): string {
  const path = join(directory, `file${++files}`);
  writeFileSync(path, text);
  return path;
}

type Settings = Partial<Omit<RecipientsConfig, "users">> & {
  readonly users?: string;
  readonly aliases?: string;
};

function configOf({ users = "alice\nbob\ncarol", aliases, ...rest }: Settings): RecipientsConfig {
  return {
    domains: ["example.test", "other.test"],
    users: { file: file(users) },
    aliasesFile: aliases === undefined ? undefined : file(aliases),
    catchAll: undefined,
    postmaster: "alice",
    detailSeparator: "+",
    mailbox: "{user}",
    owner: { uid: 0, gid: 8 },
    quotaBytes: 0,
    ...rest,
  };
}

async function load(settings: Settings = {}): Promise<Recipients> {
  return Recipients.load(configOf(settings));
}

function mailboxesOf(recipients: Recipients, address: string): readonly Mailbox[] {
  const resolution = recipients.resolve(address);
  return resolution.kind === "accepted" ? resolution.mailboxes : [];
}

/** Paths, or the reason of the refusal. */
function lookUp(recipients: Recipients, address: string): readonly string[] | string {
  const resolution = recipients.resolve(address);
  if (resolution.kind === "refused") return resolution.reason;
  return resolution.mailboxes.map(({ path }) => path);
}

/** The problems of a load, without the directory of their files. */
async function problems(settings: Settings): Promise<string[]> {
  try {
    await load(settings);
    return [];
  } catch (error) {
    if (!(error instanceof RecipientsError)) throw error;
    return error.message.split("\n").map((line) => line.replace(/^\S*\/file\d+:/, "line "));
  }
}

t.test("a user has mail in each of our domains and nowhere else", async (t) => {
  const recipients = await load();
  t.strictSame(mailboxesOf(recipients, "alice@example.test"), [
    {
      path: "alice",
      address: "alice@example.test",
      owner: { uid: 0, gid: 8 },
      mode: 0o600,
      quotaBytes: 0,
    },
  ]);
  t.strictSame(lookUp(recipients, "alice@other.test"), ["alice"]);
  t.equal(lookUp(recipients, "alice@example.com"), "relayDenied");
  t.equal(lookUp(recipients, "alice@sub.example.test"), "relayDenied");
  t.equal(lookUp(recipients, "alice@[127.0.0.1]"), "relayDenied");
  t.equal(lookUp(recipients, "alice@[IPv6:::1]"), "relayDenied");
  t.equal(lookUp(recipients, "mallory@example.test"), "unknownUser");
  t.equal(lookUp(recipients, "alice"), "badAddress");
  t.equal(recipients.size, 3);
});

t.test("case and Unicode form of local parts and domains make no difference", async (t) => {
  const recipients = await load({
    users: "alice\nÉva\nMixed",
    domains: ["example.test", "bücher.example"],
  });
  t.strictSame(lookUp(recipients, "ALICE@Example.TEST"), ["alice"]);
  t.strictSame(lookUp(recipients, "e\u0301VA@example.test"), ["Éva"]);
  t.strictSame(lookUp(recipients, "mixed@example.test"), ["Mixed"]);
  t.strictSame(lookUp(recipients, "alice@xn--bcher-kva.example"), ["alice"]);
  t.strictSame(lookUp(recipients, "alice@BÜCHER.example"), ["alice"]);
  t.equal(lookUp(recipients, "alice@ex%61mple.test"), "relayDenied");
});

t.test("a quoted local part is the same as without its quotes", async (t) => {
  const recipients = await load({ users: 'alice\n"user 1"' });
  t.strictSame(lookUp(recipients, '"alice"@example.test'), ["alice"]);
  t.strictSame(lookUp(recipients, String.raw`"al\ice"@example.test`), ["alice"]);
  t.strictSame(lookUp(recipients, '"user 1"@example.test'), ["user 1"]);
  t.equal(mailboxesOf(recipients, '"User 1"@example.test')[0]?.address, '"user 1"@example.test');
  t.equal(lookUp(recipients, '"alice@example.test'), "badAddress");
  t.equal(lookUp(recipients, '"a@other.test"@example.test'), "unknownUser");
});

t.test("an address that cannot be is refused, even where a catch-all is", async (t) => {
  const recipients = await load({ catchAll: "bob" });
  t.strictSame(lookUp(recipients, "nobody@example.test"), ["bob"]);
  t.strictSame(lookUp(recipients, "../../etc/passwd@example.test"), ["bob"]);
  for (const local of ["a\0b", "a\nb", '"a\rb"', "a\u0085b", "a b", "a@b", "", "x".repeat(256)]) {
    t.equal(lookUp(recipients, `${local}@example.test`), "badAddress", JSON.stringify(local));
  }
});

t.test("a detail is ignored unless the whole name is there", async (t) => {
  const recipients = await load({ users: "alice\nalice+lists\nbob" });
  t.strictSame(lookUp(recipients, "alice+x@example.test"), ["alice"]);
  t.strictSame(lookUp(recipients, "alice+Lists@example.test"), ["alice+lists"]);
  t.strictSame(lookUp(recipients, "alice+lists+x@example.test"), ["alice"]);
  t.strictSame(lookUp(recipients, "alice+../x@example.test"), ["alice"]);
  t.equal(lookUp(recipients, "+alice@example.test"), "unknownUser");
  const without = await load({ detailSeparator: "" });
  t.equal(lookUp(without, "alice+x@example.test"), "unknownUser");
});

t.test("postmaster always has a mailbox, in each domain and without one", async (t) => {
  const recipients = await load();
  for (const address of ["postmaster", "PostMaster", "Postmaster@other.test"]) {
    t.strictSame(lookUp(recipients, address), ["alice"], address);
  }
  const own = await load({ users: "alice\npostmaster", postmaster: "postmaster" });
  t.strictSame(lookUp(own, "POSTMASTER"), ["postmaster"]);
  const aliased = await load({ aliases: "Postmaster: bob, carol" });
  t.strictSame(lookUp(aliased, "postmaster"), ["bob", "carol"]);
  t.equal(lookUp(aliased, "hostmaster"), "badAddress");
  t.strictSame(await problems({ postmaster: "mallory" }), [
    'recipients.postmaster: "mallory" is no user and no alias',
  ]);
});

t.test("what is said of one domain goes before what is said of all", async (t) => {
  const recipients = await load({
    users: "alice\nalice@other.test\nbob@other.test quota=1MiB mailbox=teams/bob\ncarol",
    mailbox: "{domain}/{user}",
    quotaBytes: 5,
    aliases: "carol@other.test: bob@other.test\nsales: bob@other.test",
  });
  t.strictSame(lookUp(recipients, "alice@other.test"), ["other.test/alice"]);
  t.strictSame(lookUp(recipients, "alice@example.test"), ["example.test/alice"]);
  t.equal(lookUp(recipients, "bob@example.test"), "unknownUser");
  t.match(mailboxesOf(recipients, "bob@other.test"), [
    { path: "teams/bob", quotaBytes: 1_048_576 },
  ]);
  t.match(mailboxesOf(recipients, "carol@example.test"), [{ quotaBytes: 5 }]);
  t.strictSame(lookUp(recipients, "carol@other.test"), ["teams/bob"]);
  t.strictSame(lookUp(recipients, "sales@example.test"), ["teams/bob"]);
});

t.test("aliases lead to users, through other aliases, each mailbox once", async (t) => {
  const recipients = await load({
    users: 'alice\nbob\ncarol\n"user 1"',
    aliases: `# who gets what
staff: alice, bob@example.test,
  # in between
\tcarol   # and a remark
all: staff, STAFF@other.test, alice+detail
"odd name": "user 1", bob
team@other.test: staff
alice-too: alice
`,
  });
  t.strictSame(lookUp(recipients, "staff@example.test"), ["alice", "bob", "carol"]);
  t.strictSame(lookUp(recipients, "all@example.test"), ["alice", "bob", "carol"]);
  t.strictSame(lookUp(recipients, '"odd name"@example.test'), ["user 1", "bob"]);
  t.strictSame(lookUp(recipients, "team@other.test"), ["alice", "bob", "carol"]);
  t.equal(lookUp(recipients, "team@example.test"), "unknownUser");
  t.strictSame(lookUp(recipients, "staff+x@example.test"), ["alice", "bob", "carol"]);
});

t.test("a backslash in front of a target means the user of that name", async (t) => {
  const recipients = await load({ aliases: String.raw`alice: \alice, bob` });
  t.strictSame(lookUp(recipients, "alice@example.test"), ["alice", "bob"]);
  t.strictSame(await problems({ aliases: String.raw`x: \y` }), ['line 1: x: "y" is no user']);
});

t.test("an alias that leads to itself is refused, and the way is named", async (t) => {
  t.strictSame(await problems({ aliases: "x: y\ny: alice, z\nz: x@example.test\n" }), [
    "line 1: x leads to itself: x -> y -> z -> x (write \\x for the user of that name)",
  ]);
  t.strictSame(await problems({ aliases: "alice: alice\n" }), [
    "line 1: alice leads to itself: alice -> alice (write \\alice for the user of that name)",
  ]);
});

t.test(
  "an alias has at most 10 others between itself and a user, and 1,000 mailboxes",
  async (t) => {
    const chain = (length: number): string =>
      Array.from({ length }, (_, i) => `a${i}: ${i + 1 === length ? "alice" : `a${i + 1}`}`).join(
        "\n",
      );
    t.strictSame(await problems({ aliases: chain(10) }), []);
    t.strictSame(await problems({ aliases: chain(11) }), [
      "line 1: a0: more than 10 aliases in a row",
    ]);
    // No recursion goes as deep as a file is long.
    t.match(await problems({ aliases: chain(50_000) }), [/more than 10 aliases in a row/]);
    const users = Array.from({ length: 1001 }, (_, i) => `u${i}`);
    const settings = (count: number): Settings => ({
      users: users.join("\n"),
      postmaster: "u0",
      aliases: `half: ${users.slice(0, 500).join(", ")}\nall: half, half, ${users.slice(0, count).join(", ")}`,
    });
    const recipients = await load(settings(1000));
    t.equal(mailboxesOf(recipients, "all@example.test").length, 1000);
    t.strictSame(await problems(settings(1001)), [
      "line 2: all: more than 1000 mailboxes behind it",
    ]);
  },
);

t.test("commands, files, lists of files and foreign domains are refused as targets", async (t) => {
  const aliases = `a: |/bin/cmd
b: "|cmd arg, x", alice
c: /var/mail/x
d: :include:/etc/list
e: x@example.com
f:
g
h@example.com: alice
a: bob
i: "open
j: nowhere
`;
  t.strictSame(await problems({ aliases }), [
    'line 1: a: "|/bin/cmd": commands are not run',
    String.raw`line 2: b: "\"|cmd arg, x\"": commands are not run`,
    'line 3: c: "/var/mail/x": files are not written, only mailboxes of users',
    'line 4: d: ":include:/etc/list": lists from other files are not read',
    'line 5: e: "x@example.com": its domain is none of ours, and this server sends no mail',
    "line 6: f: leads to nobody",
    'line 7: "g" is not "name: target, target"',
    'line 8: "h@example.com": its domain is none of recipients.domains',
    "line 10: a quotation mark is not closed",
    `line 9: "a" is there twice, first at ${join(directory, `file${files}`)}:1`,
  ]);
});

t.test("each wrong line of a users file is named", async (t) => {
  const users = `alice
alice
ALICE # the same
bob size=3
bob quota=lots
bob mailbox=../x
a/b
..
.onespool
dave.lock
eve@example.com
${"x".repeat(251)}
"not closed
# quota=1
`;
  t.match(await problems({ users }), [
    'line 2: "alice" is there twice',
    'line 3: "ALICE" is there twice',
    'line 4: "size=3" is not known; allowed are quota=SIZE and mailbox=PATH',
    'line 5: quota must be a size ("100MiB"), not "lots"',
    'line 6: mailbox "../x" must have no empty name',
    'line 7: "a/b": a user\'s name has no "/"',
    'line 8: as the name of a mailbox, ".." must have no empty name',
    "line 9: as the name of a mailbox",
    "line 10: as the name of a mailbox",
    'line 11: "example.com" is none of recipients.domains',
    "line 12: as the name of a mailbox",
    "line 13:",
  ]);
});

t.test("no two users have one mailbox, and no mailbox is the directory of another", async (t) => {
  const inTheWay = (own: string, path: string, other: string): string[] => [
    `recipients: the mailbox of "${own}", ${path}, is in the way of that of "${other}"`,
  ];
  t.strictSame(
    await problems({ users: "alice\nbob mailbox=alice" }),
    inTheWay("bob", "alice", "alice"),
  );
  t.strictSame(
    await problems({ users: "alice\nbob mailbox=alice/bob" }),
    inTheWay("bob", "alice/bob", "alice"),
  );
  t.strictSame(
    await problems({ users: "alice mailbox=x\nbob mailbox=x" }),
    inTheWay("bob", "x", "alice"),
  );
  t.strictSame(await problems({ users: "alice mailbox=x/y/z\nbob mailbox=x" }), [
    'recipients: the mailbox of "alice", x/y/z, lies below that of "bob"',
  ]);
  const mailbox = "m/{domain}/{user}.mbox";
  for (const path of [
    "m",
    "m/other.test",
    "m/other.test/alice.mbox",
    "m/other.test/alice.mbox/x",
  ]) {
    const found = await problems({ users: `alice\nbob mailbox=${path}`, mailbox });
    t.strictSame(found, inTheWay("bob", path, "alice"), path);
  }
  for (const path of ["m/else.test", "m/other.test/bob.mbox", "m/other.test/alice", "x"]) {
    t.strictSame(await problems({ users: `alice\nbob mailbox=${path}`, mailbox }), [], path);
  }
  const users = "alice@example.test\nalice@other.test";
  t.strictSame(await problems({ users }), [
    'recipients: "alice@example.test" and "alice@other.test" have the same mailbox',
  ]);
  t.strictSame(await problems({ users, mailbox: "{user}@{domain}" }), []);
});

t.test("a file that is missing is named, and what was loaded stays good", async (t) => {
  const recipients = await load();
  const config = { ...configOf({}), users: { file: join(directory, "missing") } };
  await t.rejects(Recipients.load(config), {
    code: "RECIPIENTS",
    message: `${join(directory, "missing")}: no such file`,
  });
  t.strictSame(lookUp(recipients, "alice@example.test"), ["alice"]);
});

t.test("system users are people: no service, no root, nobody", (t) => {
  const accounts = [
    { name: "root", uid: 0, gid: 0 },
    { name: "mail", uid: 8, gid: 8 },
    { name: "alice", uid: 1000, gid: 100 },
    { name: "MACHINE$", uid: 1005, gid: 100 },
    { name: "Bob", uid: 70_000, gid: 100 },
    { name: "nobody", uid: 65_534, gid: 65_534 },
  ];
  const users = systemUsers(accounts, 1000, []);
  t.strictSame(
    [...users.users()].map(({ name, uid }) => [name, uid]),
    [
      ["alice", 1000],
      ["Bob", 70_000],
    ],
  );
  t.equal(uidMinOf("# UID_MIN 1\nUID_MIN\t\t 500\n"), 500);
  t.equal(uidMinOf(""), 1000);
  t.end();
});

t.test("a system user's mailbox is his, with the group mail", (t) => {
  const sources = {
    users: { accounts: [{ name: "alice", uid: 1001, gid: 100 }], uidMin: 1000, mailGid: 8 },
    aliases: { lines: ["root: alice"], placeOf: (index: number) => `aliases:${index + 1}` },
  };
  const recipients = new Recipients({ ...configOf({}), users: "system" }, sources);
  t.match(mailboxesOf(recipients, "root@example.test"), [
    { path: "alice", owner: { uid: 1001, gid: 8 }, mode: 0o600 },
  ]);
  t.end();
});

t.test("100,000 users", async (t) => {
  const users = Array.from({ length: 100_000 }, (_, i) => `user${i}`).join("\n");
  const recipients = await load({ users, postmaster: "user1" });
  t.equal(recipients.size, 100_000);
  t.strictSame(lookUp(recipients, "user99999@example.test"), ["user99999"]);
  t.equal(lookUp(recipients, "user100000@example.test"), "unknownUser");
});

const nasty = fc.array(
  fc.constantFrom(
    ...'@ + / \\ . " \0 \r \n % é < > [ ] : ; , # |'.split(" "),
    " ",
    "..",
    "alice",
    "bob",
    "staff",
    "example.test",
    "other.test",
    "xn--",
    "postmaster",
    "\ud800",
    "{user}",
    "$&",
  ),
  { maxLength: 12 },
);
const address = fc.oneof(
  fc.string({ unit: "binary" }),
  nasty.map((parts) => parts.join("")),
  nasty.map((parts) => `${parts.join("")}@example.test`),
  nasty.map((parts) => `"${parts.join("")}"@other.test`),
);

t.test(
  "whatever the address, a look-up does not throw and gives only mailboxes of the tables",
  async (t) => {
    const recipients = await load({
      users: "alice\nbob\ncarol mailbox=team/carol",
      mailbox: "m/{domain}/{user}",
      aliases: "staff: alice, bob\nstaff@other.test: carol",
      catchAll: "bob",
    });
    const domains = ["example.test", "other.test"];
    const paths = new Set([
      "team/carol",
      ...domains.flatMap((domain) => [`m/${domain}/alice`, `m/${domain}/bob`]),
    ]);
    const seed = Date.now() & 0x7fff_ffff;
    t.comment(`seed ${seed}`);
    let accepted = 0;
    fc.assert(
      fc.property(address, (text) => {
        const found = lookUp(recipients, text);
        if (typeof found === "string") return;
        accepted++;
        if (found.length === 0 || !found.every((path) => paths.has(path))) {
          throw new Error(`${JSON.stringify(text)} leads to ${found.join(", ")}`);
        }
      }),
      { seed, numRuns: 20_000 },
    );
    t.ok(accepted > 100, "many addresses were accepted");
  },
);

t.test(
  "whatever a users file says, no mailbox path leaves the mount or is its control file",
  (t) => {
    const seed = Date.now() & 0x7fff_ffff;
    t.comment(`seed ${seed}`);
    const word = nasty.map((parts) => parts.join(""));
    const line = fc
      .tuple(word, fc.option(word), fc.option(word))
      .map(
        ([name, domain, mailbox]) =>
          name +
          (domain === null ? "" : `@${domain}`) +
          (mailbox === null ? "" : ` mailbox=${mailbox}`),
      );
    let loaded = 0;
    fc.assert(
      fc.property(fc.array(line, { maxLength: 3 }), (lines) => {
        const users = { lines: ["alice", ...lines], placeOf: String };
        try {
          const made = new Recipients(configOf({}), { users, aliases: undefined });
          loaded++;
          for (const text of lines) {
            for (const { path } of mailboxesOf(made, `${text.split(/[@ ]/)[0]}@example.test`)) {
              const names = path.split("/");
              const isBad =
                names.some((name) => ["", ".", ".."].includes(name)) || /\p{Cc}/u.test(path);
              if (isBad || names[0] === ".onespool") throw new Error(path);
            }
          }
        } catch (error) {
          if (!(error instanceof RecipientsError)) throw error;
        }
      }),
      { seed, numRuns: 3000 },
    );
    t.ok(loaded > 50, "many files were good");
    t.end();
  },
);
