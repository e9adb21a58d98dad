/** A supervisor with a front that only pretends, in a directory of its own, for the tests. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../server/config/config.ts";
import { defaultConfig } from "../server/config/defaults.ts";
import { place, Supervised, until, writeJson, type Place } from "./supervised.ts";

export const program = fileURLToPath(new URL("./supervisor-process.js", import.meta.url));
/** Of the command lines of its children. */
export const FRONT = "supervisor-front";
export const SPOOL = "--while-connected";
export const DRAIN_MS = 60_000;

export function configOf(
  { directory, store, mount }: Place,
  changes: Partial<Config> = {},
): Config {
  return {
    ...defaultConfig(directory, true),
    hostname: "mail.example.test",
    user: undefined,
    spool: { store, mount, binding: "kernel", reclaim: true },
    listen: [{ protocol: "smtp", address: "127.0.0.1", port: 2525 }],
    log: { level: "info", file: join(directory, "log") },
    metrics: { address: "127.0.0.1", port: 0 },
    ...changes,
  };
}

export interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

export function begin(t: Tap, changes: Partial<Config> = {}, drainMs = DRAIN_MS) {
  const where = place(t);
  const file = join(where.directory, "config.json");
  const config = configOf(where, changes);
  writeJson(file, config);
  const supervised = new Supervised(t, program, [file, String(drainMs)]);
  return { ...where, file, config, supervised };
}

export function logOf(directory: string): string {
  return existsSync(join(directory, "log")) ? readFileSync(join(directory, "log"), "utf8") : "";
}

export async function metricsOf(supervised: Supervised): Promise<string> {
  const [, address] = /metrics: (http:\S+)/.exec(supervised.stdout) ?? [];
  return (await fetch(address!)).text();
}

/** It has begun to serve. */
export async function serving(t: Tap, changes?: Partial<Config>, drainMs?: number) {
  const scene = begin(t, changes, drainMs);
  await scene.supervised.says("ready\n");
  return scene;
}

/** Another one, with the same configuration. */
export async function servingAgain(t: Tap, file: string): Promise<Supervised> {
  const next = new Supervised(t, program, [file, String(DRAIN_MS)]);
  await next.says("ready\n");
  return next;
}

/** The exit code. */
export function stop(
  supervised: Supervised,
  signal: NodeJS.Signals = "SIGTERM",
): Promise<number | null> {
  supervised.child.kill(signal);
  return supervised.end();
}

/** Resolves when a front or a spool has been ready so often. */
export function readyTimes(directory: string, of: "front" | "spool", times: number): Promise<void> {
  const word = new RegExp(`"of":"${of}".*"msg":"ready"|"msg":"ready".*"of":"${of}"`);
  const count = (): number =>
    logOf(directory)
      .split("\n")
      .filter((line) => word.test(line)).length;
  return until(`the ${of} is ready for time ${times}`, () => count() >= times);
}
