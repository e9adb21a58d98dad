#!/usr/bin/env -S node --max-semi-space-size=32
/**
 * The `onespool` command. The option above is for `mount`: a delivery to 1,000 mailboxes makes a lot of short-lived
 * objects, and with V8's default of 16 MiB many of them are copied before they die (docs/decisions/004).
 */
import { run } from "./program.ts";

process.exitCode = await run(process.argv.slice(2));
