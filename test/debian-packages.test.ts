/** scripts/debian-packages, with programs in place of Debian's that say what they were asked to do. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { run, searchPath, type Ended } from "./system/command.ts";
import { sourcePath } from "./system/source.ts";

const script = sourcePath("scripts/debian-packages");
const policy = "/usr/sbin/policy-rc.d";
const skip =
  process.getuid!() !== 0
    ? "services are kept from starting by a file of root's"
    : existsSync(script)
      ? undefined
      : "scripts/ is missing";
const options = skip === undefined ? {} : { skip };

interface Tap {
  teardown(done: () => void): unknown;
}

/** Debian as it will be: installed packages, and those that would remove another or are nowhere. */
interface Debian {
  readonly installed?: readonly string[];
  readonly removing?: readonly string[];
  readonly unknown?: readonly string[];
}

class FakeDebian {
  readonly directory = mkdtempSync(join(tmpdir(), "onespool-debian-"));

  constructor(t: Tap, { installed = [], removing = [], unknown = [] }: Debian) {
    t.teardown(() => rmSync(this.directory, { recursive: true, force: true }));
    mkdirSync(join(this.directory, "state"));
    for (const name of installed) writeFileSync(join(this.directory, "state", name), "");
    const state = join(this.directory, "state");
    const log = `echo "$(basename "$0") $*" >>"${this.directory}/log"`;
    const isOne = (names: readonly string[]): string =>
      `case "$name" in ${names.join("|") || "-"})`;
    this.#program(
      "dpkg-query",
      `for name; do :; done; [ ! -e "${state}/$name" ] || echo installed`,
    );
    this.#program(
      "apt-get",
      `${log}
for name; do :; done
[ "$name" != update ] || exit 0
${isOne(removing)} echo "E: Packages need to be removed but remove is disabled."; exit 100;; esac
${isOne(unknown)} echo "E: Unable to locate package $name"; exit 100;; esac
case " $* " in *" --simulate "*) exit 0;; esac
[ -x ${policy} ] && echo "services: $(${policy}; echo $?)" >>"${this.directory}/log"
touch "${state}/$name"`,
    );
    this.#program("debconf-set-selections", `echo "debconf: $(cat)" >>"${this.directory}/log"`);
    this.#program("update-rc.d", log);
  }

  #program(name: string, text: string): void {
    const path = join(this.directory, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
  }

  install(...items: readonly string[]): Promise<Ended> {
    const environment = { PATH: `${this.directory}:${searchPath}` };
    // In an empty directory: there may be files of node_modules that it removes.
    return run([script, ...items], { environment, directory: this.directory });
  }

  get log(): string[] {
    try {
      return readFileSync(join(this.directory, "log"), "utf8").trim().split("\n");
    } catch {
      return [];
    }
  }
}

t.test("what is there is not installed, nor looked for", options, async (t) => {
  const debian = new FakeDebian(t, { installed: ["gcc", "mutt"] });
  const { code, output } = await debian.install("gcc=C", "--optional", "mutt=mail");
  t.same([code, output, debian.log], [0, "", []]);
});

t.test("nothing is removed for a package, and no service starts", options, async (t) => {
  const hadPolicy = existsSync(policy);
  const debian = new FakeDebian(t, { installed: ["dovecot-core"] });
  const { code, output } = await debian.install("gcc=the C tests", "--optional", "postfix=mail");
  t.equal(code, 0);
  t.match(output, "installing Debian package gcc, for the C tests\n");
  t.match(output, "installing Debian package postfix, for mail\n");
  t.match(output, "the service postfix was neither started nor enabled");
  t.notMatch(output, "dovecot", "a service that was there is left alone");
  const asked = debian.log.filter((line) => line.startsWith("apt-get"));
  t.ok(asked.every((line) => line.includes(" --no-remove --no-install-recommends ")));
  t.equal(asked.filter((line) => line.endsWith(" update")).length, 1);
  t.ok(debian.log.includes("update-rc.d postfix disable"));
  t.ok(debian.log.includes("debconf: postfix postfix/main_mailer_type select No configuration"));
  if (!hadPolicy) t.ok(debian.log.includes("services: 101"));
  t.equal(existsSync(policy), hadPolicy);
});

t.test(
  "an optional package that cannot be had is told of, and the rest goes on",
  options,
  async (t) => {
    const hadPolicy = existsSync(policy);
    const debian = new FakeDebian(t, { removing: ["postfix"], unknown: ["maildrop"] });
    const { code, output } = await debian.install(
      "--optional",
      "postfix=a",
      "maildrop=b",
      "mutt=c",
    );
    t.equal(code, 0);
    t.match(
      output,
      "not installed (another package would be removed): Debian package postfix, for a\n",
    );
    t.match(output, "not installed (apt-get could not): Debian package maildrop, for b\n");
    t.match(output, "installing Debian package mutt, for c\n");
    t.notMatch(output, "neither started");
    t.equal(existsSync(policy), hadPolicy);
  },
);

t.test("a package that has to be there is a failure when it cannot be", options, async (t) => {
  const hadPolicy = existsSync(policy);
  const debian = new FakeDebian(t, { unknown: ["gcc"] });
  const { code, errors } = await debian.install("gcc=C", "--optional", "mutt=mail");
  t.equal(code, 1);
  t.match(errors, "debian-packages: apt-get could not install gcc");
  t.equal(existsSync(policy), hadPolicy);
});
