#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node
/**
 * The `onespool` command. The setting above is for `mount`: with an arena for each pool thread, glibc keeps a hundred
 * megabytes that LevelDB has freed (docs/decisions/004).
 */
import { run } from "./program.ts";

process.exitCode = await run(process.argv.slice(2));
