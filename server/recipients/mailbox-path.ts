/** Where a mailbox lies in the mount. Pure. What comes from the network never gets here. */

/** The control file of the mount (docs/HINTS.md). */
const CONTROL_FILE = ".onespool";
/** "NAME.lock" must be a file name too. */
const NAME_BYTES_MAX = 255 - ".lock".length;
const PATH_BYTES_MAX = 1024;

/** What keeps a path from being a mailbox's, as the end of a sentence; undefined: nothing. */
export function pathProblem(path: string): string | undefined {
  if (path.startsWith("/")) return "must be a path from the root of the mount, without a slash";
  if (/\p{Cc}|\ufffd/u.test(path)) return "has a character that no mailbox name may have";
  const names = path.split("/");
  if (names.some((name) => name === "" || name === "." || name === "..")) {
    return 'must have no empty name, "." or ".." in it';
  }
  if (names[0] === CONTROL_FILE) return `is the control file of the mount`;
  if (path.endsWith(".lock")) return "would be the lock of another mailbox";
  const tooLong = names.some((name) => Buffer.byteLength(name) > NAME_BYTES_MAX);
  if (tooLong || Buffer.byteLength(path) > PATH_BYTES_MAX) {
    return `is too long (a name may have ${NAME_BYTES_MAX} bytes, a path ${PATH_BYTES_MAX})`;
  }
  return undefined;
}

/**
 * What is wrong with a template. Users and domains have neither "/" nor "@" in them, so that one of these
 * between the two keeps different users in different files.
 */
export function templateProblem(template: string): string | undefined {
  const parts = template.match(/\{[^}]*\}/g) ?? [];
  const rest = template.replaceAll(/\{(?:user|domain)\}/g, "");
  const unknown = parts.find((part) => part !== "{user}" && part !== "{domain}");
  if (unknown !== undefined) return `${unknown} is not known; {user} and {domain} are replaced`;
  if (/[{}]/.test(rest)) return "has a brace that belongs to neither {user} nor {domain}";
  const users = parts.filter((part) => part === "{user}").length;
  if (users === 0) return "must have {user} in it, or all users would share a mailbox";
  if (users > 1 || parts.length > 2) return "must have {user} and {domain} only once";
  const between = /\{(?:user|domain)\}(.*)\{(?:user|domain)\}/s.exec(template)?.[1];
  if (between !== undefined && !/[/@]/.test(between)) {
    return 'must have a "/" or "@" between {user} and {domain}';
  }
  return pathProblem(template.replace("{user}", "u").replace("{domain}", "d"));
}

export function fillTemplate(template: string, user: string, domain: string): string {
  return template.replace("{user}", () => user).replace("{domain}", () => domain);
}

export interface TemplateMatch {
  readonly user: string | undefined;
  readonly domain: string | undefined;
}

/**
 * What user and domain must be for the path to be the template's, a directory of it or below it; undefined if
 * it never is.
 */
export function matchTemplate(template: string, path: string): TemplateMatch | undefined {
  const parts = template.split("/");
  const names = path.split("/");
  const found: { user: string | undefined; domain: string | undefined } = {
    user: undefined,
    domain: undefined,
  };
  for (const [index, part] of parts.slice(0, names.length).entries()) {
    const pattern = part
      .replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`)
      .replace("{user}", "(?<user>[^@]+)")
      .replace("{domain}", "(?<domain>[^@]+)");
    const match = new RegExp(`^${pattern}$`, "su").exec(names[index]!);
    if (match === null) return undefined;
    found.user ??= match.groups?.["user"];
    found.domain ??= match.groups?.["domain"];
  }
  return found;
}
