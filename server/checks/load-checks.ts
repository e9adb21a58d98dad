/** The checks that a configuration means, with its tables read: the same for front, worker and tests. */
import type { Config } from "../config/config.ts";
import { Quotas } from "../delivery/quotas.ts";
import { Recipients } from "../recipients/recipients.ts";
import { Checks } from "./checks.ts";

/** Throws RecipientsError. */
export async function loadChecks(config: Config): Promise<Checks> {
  const recipients = await Recipients.load(config.recipients);
  return new Checks(recipients, new Quotas(config.spool.mount), config.limits);
}
