/**
 * What needs two settings, or a look at the machine, to be judged. Each check names the tables of the file that
 * it reads, so that it is left out where one of them could not be read.
 */
import { statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ipaddr from "ipaddr.js";
import type { Account } from "./accounts.ts";
import { findAccount, groupsOf } from "./accounts.ts";
import type { Config, Listener } from "./config.ts";
import { shown } from "./problems.ts";
import { inspectTls } from "./tls.ts";
import type { Path } from "./toml.ts";
import { formatEndpoint } from "./values.ts";

/** `path` is that of the setting in the file. */
export type Note = (path: Path, text: string) => void;

export interface Subject {
  readonly config: Config;
  readonly isRoot: boolean;
  readonly problem: Note;
  readonly warn: Note;
}

export interface Check {
  readonly reads: readonly string[];
  readonly run: (subject: Subject) => void;
}

function contains(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way === "" || (way !== ".." && !way.startsWith("../"));
}

function isLoopback(address: string): boolean {
  return ipaddr.process(address).range() === "loopback";
}

/** "::" listens on IPv4 too. */
function collide(a: Omit<Listener, "protocol">, b: Omit<Listener, "protocol">): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  const [first, second] = [ipaddr.parse(a.address), ipaddr.parse(b.address)];
  const texts = [first.toNormalizedString(), second.toNormalizedString()];
  if (texts[0] === texts[1] || texts.includes("0:0:0:0:0:0:0:0")) return true;
  return first.kind() === second.kind() && texts.includes("0.0.0.0");
}

function checkListen({ config, problem, warn }: Subject): void {
  const { listen, metrics, tls } = config;
  if (listen.length === 0) problem(["listen"], "the server must listen somewhere");
  const places = new Map<Listener, Path>();
  const counts = { smtp: 0, lmtp: 0 };
  for (const each of listen) {
    const path = ["listen", each.protocol, counts[each.protocol]++];
    for (const other of places.keys()) {
      if (!collide(each, other)) continue;
      const text = `${formatEndpoint(each)} is taken by ${other.protocol} ${formatEndpoint(other)}`;
      problem(path, text);
    }
    places.set(each, path);
    if (isLoopback(each.address)) continue;
    if (each.protocol === "lmtp") {
      warn(path, `${formatEndpoint(each)} is no loopback address: LMTP has no defence of its own`);
    } else if (tls === undefined) {
      warn(path, `${formatEndpoint(each)} is no loopback address, and there is no [tls]`);
    }
  }
  if (metrics === undefined) return;
  if (!isLoopback(metrics.address)) problem(["metrics"], "must be a loopback address");
  const taken = listen.find((each) => collide(each, metrics));
  if (taken !== undefined) problem(["metrics"], `is where ${taken.protocol} listens`);
}

function checkTrust({ config, warn }: Subject): void {
  for (const [key, blocks] of [
    ["proxy_from", config.proxyFrom],
    ["xclient_from", config.xclientFrom],
  ] as const) {
    for (const [index, block] of blocks.entries()) {
      if (block.endsWith("/0")) warn([key, index], "anybody may say to be anybody else");
    }
  }
}

function checkSpool({ config, isRoot, problem }: Subject): void {
  const { store, mount, binding } = config.spool;
  if (contains(store, mount) || contains(mount, store)) {
    problem(["spool", "mount"], "store and mount must not lie inside each other");
  }
  if (isRoot && binding === "fuse-native") {
    const text = "lets nobody deliver but the account that mounts, which must not be root";
    problem(["spool", "binding"], `"fuse-native" ${text}`);
  }
}

/** None of these is looked at before it is known to be outside of the mount, which is not there yet. */
export function filesOf(config: Config): (readonly [Path, string])[] {
  const { recipients, tls, log } = config;
  const { users, aliasesFile } = recipients;
  const files: [Path, string | undefined][] = [
    [
      ["recipients", "users"],
      typeof users === "object" && "file" in users ? users.file : undefined,
    ],
    [["recipients", "aliases"], aliasesFile],
    [["tls", "certificate"], tls?.certificate],
    [["tls", "key"], tls?.key],
    [["log", "file"], log.file],
  ];
  return files.filter((each): each is [Path, string] => each[1] !== undefined);
}

/** Whether a file of the configuration lies in the spool that needs it. */
export function isInSpool(config: Config, file: string): boolean {
  const { mount, store } = config.spool;
  return contains(mount, file) || contains(store, file);
}

function checkFiles({ config, problem }: Subject): void {
  for (const [path, file] of filesOf(config)) {
    if (isInSpool(config, file)) problem(path, `${file} must not lie in the mount or in the store`);
  }
}

function checkTls({ config, problem, warn }: Subject): void {
  const { tls } = config;
  if (tls === undefined || isInSpool(config, tls.certificate) || isInSpool(config, tls.key)) return;
  const report = inspectTls(tls);
  for (const { part, text } of report.problems) problem(["tls", part], text);
  for (const { part, text } of report.warnings) warn(["tls", part], text);
}

function checkLog({ config, problem }: Subject): void {
  const { file } = config.log;
  if (file === undefined || isInSpool(config, file)) return;
  const stat = statSync(dirname(file), { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true) {
    problem(["log", "file"], `there is no directory ${dirname(file)}`);
  } else if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    problem(["log", "file"], `${file} is a directory`);
  }
}

function checkUser({ config, isRoot, problem, warn }: Subject): void {
  const { user, recipients } = config;
  if (user === undefined) return;
  const account = findAccount(user);
  if (account === undefined) problem(["user"], `there is no account ${shown(user)}`);
  else if (account.uid === 0 || account.gid === 0) {
    problem(["user"], "front and workers must not be root, nor in its group");
  } else if (!isRoot && account.uid !== process.getuid?.()) {
    warn(["user"], `only root can start a server that becomes ${user}`);
  } else if (recipients.owner?.uid === account.uid) {
    const text = `is the owner of the mailboxes too: front and workers could read them`;
    warn(["user"], `${user} ${text}`);
  } else if (isRoot && user === "nobody") {
    const text = "whatever else runs as nobody can deliver to every mailbox";
    warn(["user"], `${text}: give the server an account of its own`);
  }
}

/** By mode bits alone; an access control list may say otherwise. */
function mayUse(account: Account, groups: readonly number[], path: string, bit: number): boolean {
  const { mode, uid, gid } = statSync(path);
  if (uid === account.uid) return (mode & (bit << 6)) !== 0;
  return (mode & (groups.includes(gid) ? bit << 3 : bit)) !== 0;
}

function mayRead(account: Account, groups: readonly number[], file: string): boolean {
  let path = "/";
  for (const name of relative("/", dirname(file)).split("/")) {
    path = join(path, name);
    if (!mayUse(account, groups, path, 1)) return false;
  }
  return mayUse(account, groups, resolve(file), 4);
}

/** Front and workers read users and aliases for themselves, at each reload. */
function checkReadable({ config, isRoot, warn }: Subject): void {
  const account = isRoot && config.user !== undefined ? findAccount(config.user) : undefined;
  if (account === undefined) return;
  const groups = groupsOf(account);
  for (const [path, file] of filesOf(config)) {
    if (path[0] !== "recipients" || isInSpool(config, file)) continue;
    const isThere = statSync(file, { throwIfNoEntry: false }) !== undefined;
    if (isThere && !mayRead(account, groups, file)) {
      warn(path, `${file}: ${account.name}, as whom front and workers run, cannot read it`);
    }
  }
}

/** In such a directory the account could put another file in the place of the log, which root writes to. */
function checkLogDirectory({ config, isRoot, warn }: Subject): void {
  const { file } = config.log;
  const account = isRoot && config.user !== undefined ? findAccount(config.user) : undefined;
  if (account === undefined || file === undefined || isInSpool(config, file)) return;
  const directory = dirname(file);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  if (mayUse(account, groupsOf(account), directory, 2)) {
    warn(["log", "file"], `${directory}: ${account.name} should not be able to write there`);
  }
}

function checkAdvice({ config, warn }: Subject): void {
  const { recipientsMax } = config.limits;
  if (recipientsMax < 100) {
    warn(["limits", "recipients_max"], "RFC 5321 section 4.5.3.1.8 has at least 100");
  }
}

export const checks: readonly Check[] = [
  { reads: ["listen", "metrics", "tls"], run: checkListen },
  { reads: ["proxy_from", "xclient_from"], run: checkTrust },
  { reads: ["spool"], run: checkSpool },
  { reads: ["spool", "recipients", "tls", "log"], run: checkFiles },
  { reads: ["spool", "tls"], run: checkTls },
  { reads: ["spool", "log"], run: checkLog },
  { reads: ["user", "recipients"], run: checkUser },
  { reads: ["spool", "user", "recipients", "tls", "log"], run: checkReadable },
  { reads: ["spool", "user", "log"], run: checkLogDirectory },
  { reads: ["limits"], run: checkAdvice },
];
