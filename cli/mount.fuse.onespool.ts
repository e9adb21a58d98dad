#!/usr/bin/env -S PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MALLOC_ARENA_MAX=1 node
/**
 * The program behind /sbin/mount.fuse.onespool. A boot may run mount(8) without any PATH, and root's mounts do not
 * depend on the PATH of whoever gives the command.
 */
import { runHelper } from "./mount-helper.ts";

process.exitCode = await runHelper(process.argv.slice(2));
