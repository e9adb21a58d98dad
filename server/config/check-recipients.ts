/** Users and aliases are read once with the configuration, so that what is wrong with them is told with the rest. */
import type { Directory } from "../recipients/directory.ts";
import { readSourcesSync } from "../recipients/sources.ts";
import { buildDirectory, configuredAddress, postmasterOf } from "../recipients/tables.ts";
import type { PlaceOf } from "../recipients/users-file.ts";
import type { Note } from "./checks.ts";
import { filesOf, isInSpool } from "./checks.ts";
import type { Config, RecipientsConfig } from "./config.ts";
import type { Problem } from "./problems.ts";
import { RecipientsError, shown } from "./problems.ts";

export interface CheckedRecipients {
  /** With its postmaster. */
  readonly config: Config;
  /** In the files of users and aliases, and among users who stand in the configuration itself. */
  readonly problems: readonly Problem[];
}

/** `placeOf` is for a user who stands in the configuration itself. */
export function checkRecipients(config: Config, placeOf: PlaceOf, note: Note): CheckedRecipients {
  const { recipients } = config;
  // Told already; what is in the mount cannot be read before there is one.
  if (filesOf(config).some(([, file]) => isInSpool(config, file))) return { config, problems: [] };
  try {
    const directory = readDirectory(recipients, placeOf);
    const leadsTo = (key: string, text: string): void => {
      if (configuredAddress(directory, recipients, text) !== undefined) return;
      note(["recipients", key], `${shown(text)} is no user and no alias`);
    };
    if (recipients.catchAll !== undefined) leadsTo("catch_all", recipients.catchAll);
    if (recipients.postmaster !== "") leadsTo("postmaster", recipients.postmaster);
    const postmaster = recipients.postmaster || postmasterOf(directory);
    if (postmaster === undefined) {
      note(["recipients", "users"], "there is no user, and somebody must get postmaster's mail");
      return { config, problems: [] };
    }
    return { config: { ...config, recipients: { ...recipients, postmaster } }, problems: [] };
  } catch (error) {
    if (!(error instanceof RecipientsError)) throw error;
    return { config, problems: error.problems };
  }
}

function readDirectory(recipients: RecipientsConfig, placeOf: PlaceOf): Directory {
  const sources = readSourcesSync(recipients);
  const isInline = typeof recipients.users === "object" && "lines" in recipients.users;
  if (!isInline || !("lines" in sources.users)) return buildDirectory(recipients, sources);
  return buildDirectory(recipients, { ...sources, users: { ...sources.users, placeOf } });
}
