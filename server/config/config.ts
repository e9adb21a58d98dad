/**
 * What the mail server is told, as plain data: each process gets it whole. `load.ts` makes it of the TOML file;
 * the defaults stand in `defaults.ts` and, with their reasons, in docs/CONFIG.md.
 */

export interface Listener {
  readonly protocol: "smtp" | "lmtp";
  /** An IP address; "::" listens on IPv4 too. */
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
}

export interface SpoolConfig {
  /** Absolute paths. */
  readonly store: string;
  readonly mount: string;
  readonly binding: "auto" | "kernel" | "fuse-native";
  /** Whether space is given back in the background, and not by `onespool reclaim` alone. */
  readonly reclaim: boolean;
}

export interface RecipientsConfig {
  /** Domains whose recipients are ours, in lower case, as U-labels. */
  readonly domains: readonly string[];
  /** "system", or the absolute path of a users file, or the users themselves, as lines of such a file. */
  readonly users: "system" | { readonly file: string } | { readonly lines: readonly string[] };
  /** Absolute path of a file as aliases(5) has it. */
  readonly aliasesFile: string | undefined;
  /** Gets what nobody else does; a user or an alias. */
  readonly catchAll: string | undefined;
  /** Gets the mail of postmaster where no user or alias of that name exists. */
  readonly postmaster: string;
  /** Between user and detail: "+"; "" for none. */
  readonly detailSeparator: string;
  /** Path of a mailbox from the mount's root: "{user}" and "{domain}" are replaced. */
  readonly mailbox: string;
  /** Of mailboxes of users who are no system accounts; undefined: the delivering account. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Of a mailbox whose user has none of his own; 0 for none. */
  readonly quotaBytes: number;
}

export interface Limits {
  readonly connectionsMax: number;
  /** IPv4 by address, IPv6 by /64. */
  readonly connectionsPerClientMax: number;
  /** From the accept to the greeting; who talks before it is an early talker. */
  readonly greetingDelayMs: number;
  /** Without a whole command of a client that is not trusted, and between the commands of a trusted one. */
  readonly commandMs: number;
  /** Of a trusted connection after a message. */
  readonly unusedMs: number;
  /** Of a session as a whole. */
  readonly sessionMs: number;
  /** In DATA, over each half minute. */
  readonly dataBytesPerSecondMin: number;
  readonly commandBytesMax: number;
  /** Commands of a session that do no work (NOOP, RSET, VRFY, HELP, HELO, MAIL without DATA), for each message. */
  readonly idleCommandsMax: number;
  /** From here on each reply to an error waits a second. */
  readonly errorsSoft: number;
  /** With this one the connection is closed. */
  readonly errorsHard: number;
  readonly recipientsMax: number;
  readonly messagesMax: number;
  readonly messageBytesMax: number;
  readonly lineBytesMax: number;
  readonly headerBytesMax: number;
  readonly headerFieldsMax: number;
  readonly receivedFieldsMax: number;
  /** From the sending of a socket to the word of the worker that has it. */
  readonly handOverMs: number;
  /** Stress begins when this many percent of connections, descriptors or of the workers' places are taken. */
  readonly stressPercent: number;
  /** In place of commandMs, unusedMs and errorsHard while there is stress. */
  readonly stressCommandMs: number;
  readonly stressErrorsHard: number;
}

export interface WorkersConfig {
  readonly count: number;
  /** Of the JavaScript heap of one. */
  readonly memoryMiBMax: number;
  /** A worker that has taken so many is replaced. */
  readonly messagesMax: number;
  /** Connections of one worker at a time. */
  readonly connectionsMax: number;
}

export interface Config {
  /** In the greeting, in Received and Message-ID. */
  readonly hostname: string;
  /** Account of front and workers after binding; undefined: stay who we are. */
  readonly user: string | undefined;
  readonly listen: readonly Listener[];
  readonly spool: SpoolConfig;
  /** Absolute paths of PEM files; undefined: no STARTTLS. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  readonly recipients: RecipientsConfig;
  /** Which messages are linked: those judged spam, those with several recipients, none. */
  readonly share: "spam" | "multi" | "off";
  /** What happens to a message with a CR or LF that stands alone. */
  readonly bareNewline: "normalize" | "reject";
  readonly limits: Limits;
  readonly workers: WorkersConfig;
  /** Addresses or CIDR blocks. */
  readonly proxyFrom: readonly string[];
  readonly xclientFrom: readonly string[];
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    /** undefined: standard output. */
    readonly file: string | undefined;
  };
  /** On a loopback address; undefined: none. */
  readonly metrics: { readonly address: string; readonly port: number } | undefined;
}
