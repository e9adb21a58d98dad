/** What a configuration means for checks and delivery: the same for a worker of its own and one in a test. */
import { Checks } from "../checks/checks.ts";
import type { Config } from "../config/config.ts";
import { Delivery } from "../delivery/delivery.ts";
import { Quotas } from "../delivery/quotas.ts";
import { Recipients } from "../recipients/recipients.ts";
import type { WorkerSettings } from "./worker.ts";

/** Throws RecipientsError. */
export async function loadChecks(config: Config): Promise<Checks> {
  const recipients = await Recipients.load(config.recipients);
  return new Checks(recipients, new Quotas(config.spool.mount), config.limits);
}

/** Throws RecipientsError. */
export async function loadWorkerSettings(config: Config): Promise<WorkerSettings> {
  const { hostname, share, limits, spool } = config;
  const checks = await loadChecks(config);
  const delivery = Delivery.create({ mount: spool.mount, hostname, share, limits });
  return { config, checks, delivery };
}
