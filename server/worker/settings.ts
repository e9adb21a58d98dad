/** What a configuration means for checks and delivery: the same for a worker of its own and one in a test. */
import { loadChecks } from "../checks/load-checks.ts";
import type { Config } from "../config/config.ts";
import { Delivery } from "../delivery/delivery.ts";
import type { WorkerSettings } from "./worker.ts";

/** Throws RecipientsError. */
export async function loadWorkerSettings(config: Config): Promise<WorkerSettings> {
  const { hostname, share, limits, spool } = config;
  const checks = await loadChecks(config);
  const delivery = Delivery.create({ mount: spool.mount, hostname, share, limits });
  return { config, checks, delivery };
}
