/** Times one thing done to a store that nobody has open: node store-timer.js fsck|rebuild|open DIRECTORY */
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";

const [what, directory = ""] = process.argv.slice(2);
const began = performance.now();
let stageBegan = began;
let stage = "";
const stages: Record<string, number> = {};
const onProgress = (name: string): void => {
  const now = performance.now();
  if (stage !== "") stages[stage] = (stages[stage] ?? 0) + now - stageBegan;
  stage = name;
  stageBegan = now;
};
let clean = true;
if (what === "fsck") {
  ({ clean } = await checkStore(directory, { onProgress }));
  onProgress("");
} else {
  const store = await Store.open(directory, { rebuildIndex: what === "rebuild" });
  const ms = performance.now() - began;
  stages["open"] = ms;
  await store.close();
}
const ms = stages["open"] ?? performance.now() - began;
if (!clean) throw new Error(`${directory} is not clean`);
const { rss } = process.memoryUsage();
const { user, system } = process.cpuUsage();
const cpuMs = (user + system) / 1000;
process.stdout.write(`${JSON.stringify({ ms, cpuMs, stages, rssBytes: rss })}\n`);
