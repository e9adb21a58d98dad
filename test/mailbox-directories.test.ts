import t from "tap";
import { mailboxDirectories } from "../server/supervisor/mailbox-directories.ts";
import { defaultConfig } from "../server/config/defaults.ts";

const { recipients } = defaultConfig("/nowhere", false);
const domains = ["a.test", "b.test", "a.test"];

t.test("directories of domains are made, those of users are not", (t) => {
  const of = (mailbox: string): string[] => mailboxDirectories({ ...recipients, domains, mailbox });
  t.strictSame(of("{user}"), []);
  t.strictSame(of("{domain}/{user}"), ["a.test", "b.test"]);
  t.strictSame(of("mail/{domain}/in/{user}"), ["mail/a.test/in", "mail/b.test/in"]);
  t.strictSame(of("mail/{user}"), ["mail"]);
  t.strictSame(of("{user}/{domain}"), []);
  t.end();
});
