/* The command line of the SMTP load generator. */
#ifndef ONESPOOL_BENCH_SMTP_OPTIONS_H
#define ONESPOOL_BENCH_SMTP_OPTIONS_H

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include "load.h"

struct options {
	const char *host, *domain, *sender;
	struct sockaddr_storage address;
	socklen_t address_length;
	uint32_t port, connections, recipients, users, sources, bounce_percent;
	uint64_t messages, per_connection;
	size_t size;
	double deadline;
	int lmtp, lock_step, rotate, idle;
};

static const char options_help[] =
	"usage: smtp_load --port PORT [OPTION...]\n"
	"\n"
	"Sends messages to an SMTP or LMTP server on a loopback address and checks every reply. At the end it\n"
	"prints one line of JSON; it exits with 1 when a message is missing or a reply was not the expected one.\n"
	"\n"
	"  --host ADDRESS       127.0.0.1 (default), any other of 127.0.0.0/8, or ::1\n"
	"  --port PORT\n"
	"  --lmtp               LHLO, and a reply for each recipient\n"
	"  --connections N      open at once (20)\n"
	"  --messages N         that shall be taken (1000)\n"
	"  --per-connection N   messages of one connection (1)\n"
	"  --recipients N       of one message (1)\n"
	"  --users N            the mailboxes are user1 to userN (as many as recipients)\n"
	"  --rotate             each message begins with the user after the last one of the message before;\n"
	"                       otherwise every message goes to user1 and those after it\n"
	"  --domain NAME        of the recipients (example.test)\n"
	"  --sender ADDRESS     (sender@example.org)\n"
	"  --size BYTES         of a message with its header, lines ended by CRLF (4096)\n"
	"  --no-pipelining      one command, one reply. By default MAIL, all RCPT and DATA go out in one write\n"
	"                       where the server offers PIPELINING, and QUIT goes with the end of the message\n"
	"  --bounce PERCENT     of all connections name one unknown recipient, see 550 and quit; they come in\n"
	"                       addition to those that the messages need, evenly between them\n"
	"  --idle               open the connections, read the greeting, say EHLO, print a line when all stand,\n"
	"                       then wait until standard input ends\n"
	"  --sources N          connect from N addresses in turn: 127.1.0.1, 127.1.0.2 ... (the usual one)\n"
	"  --deadline SECONDS   (300)\n";

static inline void refuse_options(const char *why)
{
	fprintf(stderr, "smtp_load: %s (--help)\n", why);
	exit(2);
}

static inline uint64_t option_number(const char *name, const char *text, uint64_t least,
				     uint64_t greatest)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > greatest) {
		fprintf(stderr, "smtp_load: --%s wants a number from %" PRIu64 " to %" PRIu64 "\n",
			name, least, greatest);
		exit(2);
	}
	return value;
}

/* Whoever starts this by mistake with another address must not send thousands of messages there. */
static inline void options_address(struct options *options)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&options->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&options->address;

	if (inet_pton(AF_INET, options->host, &four->sin_addr) == 1 &&
	    ntohl(four->sin_addr.s_addr) >> 24 == 127) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)options->port);
		options->address_length = sizeof(*four);
	} else if (inet_pton(AF_INET6, options->host, &six->sin6_addr) == 1 &&
		   IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)options->port);
		options->address_length = sizeof(*six);
	} else {
		refuse_options("--host wants a loopback address");
	}
}

enum { OPTION_HOST, OPTION_PORT, OPTION_LMTP, OPTION_CONNECTIONS, OPTION_MESSAGES,
       OPTION_PER_CONNECTION, OPTION_RECIPIENTS, OPTION_USERS, OPTION_ROTATE, OPTION_DOMAIN,
       OPTION_SENDER, OPTION_SIZE, OPTION_NO_PIPELINING, OPTION_BOUNCE, OPTION_IDLE,
       OPTION_SOURCES, OPTION_DEADLINE, OPTION_HELP };

static const struct option option_names[] = {
	[OPTION_HOST] = {"host", required_argument, NULL, 0},
	[OPTION_PORT] = {"port", required_argument, NULL, 0},
	[OPTION_LMTP] = {"lmtp", no_argument, NULL, 0},
	[OPTION_CONNECTIONS] = {"connections", required_argument, NULL, 0},
	[OPTION_MESSAGES] = {"messages", required_argument, NULL, 0},
	[OPTION_PER_CONNECTION] = {"per-connection", required_argument, NULL, 0},
	[OPTION_RECIPIENTS] = {"recipients", required_argument, NULL, 0},
	[OPTION_USERS] = {"users", required_argument, NULL, 0},
	[OPTION_ROTATE] = {"rotate", no_argument, NULL, 0},
	[OPTION_DOMAIN] = {"domain", required_argument, NULL, 0},
	[OPTION_SENDER] = {"sender", required_argument, NULL, 0},
	[OPTION_SIZE] = {"size", required_argument, NULL, 0},
	[OPTION_NO_PIPELINING] = {"no-pipelining", no_argument, NULL, 0},
	[OPTION_BOUNCE] = {"bounce", required_argument, NULL, 0},
	[OPTION_IDLE] = {"idle", no_argument, NULL, 0},
	[OPTION_SOURCES] = {"sources", required_argument, NULL, 0},
	[OPTION_DEADLINE] = {"deadline", required_argument, NULL, 0},
	[OPTION_HELP] = {"help", no_argument, NULL, 0},
	{NULL, 0, NULL, 0},
};

static inline void option_set(struct options *options, int which, const char *text)
{
	const char *name = option_names[which].name;

	switch (which) {
	case OPTION_HOST: options->host = text; break;
	case OPTION_PORT: options->port = (uint32_t)option_number(name, text, 1, 65535); break;
	case OPTION_LMTP: options->lmtp = 1; break;
	case OPTION_CONNECTIONS:
		options->connections = (uint32_t)option_number(name, text, 1, 60000);
		break;
	case OPTION_MESSAGES:
		options->messages = option_number(name, text, 1, 100000000);
		break;
	case OPTION_PER_CONNECTION:
		options->per_connection = option_number(name, text, 1, 1000000);
		break;
	case OPTION_RECIPIENTS:
		options->recipients = (uint32_t)option_number(name, text, 1, 100000);
		break;
	case OPTION_USERS:
		options->users = (uint32_t)option_number(name, text, 1, 10000000);
		break;
	case OPTION_ROTATE: options->rotate = 1; break;
	case OPTION_DOMAIN: options->domain = text; break;
	case OPTION_SENDER: options->sender = text; break;
	case OPTION_SIZE: options->size = option_number(name, text, 1, 1u << 28); break;
	case OPTION_NO_PIPELINING: options->lock_step = 1; break;
	case OPTION_BOUNCE:
		options->bounce_percent = (uint32_t)option_number(name, text, 0, 99);
		break;
	case OPTION_IDLE: options->idle = 1; break;
	case OPTION_SOURCES:
		options->sources = (uint32_t)option_number(name, text, 1, 65000);
		break;
	case OPTION_DEADLINE:
		options->deadline = (double)option_number(name, text, 1, 100000);
		break;
	case OPTION_HELP:
		fputs(options_help, stdout);
		exit(0);
	}
}

static inline void options_parse(struct options *options, int argc, char **argv)
{
	int which;

	*options = (struct options){
		.host = "127.0.0.1",
		.domain = "example.test",
		.sender = "sender@example.org",
		.connections = 20,
		.messages = 1000,
		.per_connection = 1,
		.recipients = 1,
		.size = 4096,
		.deadline = 300,
	};
	for (;;) {
		int got = getopt_long(argc, argv, "", option_names, &which);

		if (got == -1)
			break;
		if (got != 0)
			exit(2);
		option_set(options, which, optarg);
	}
	if (optind < argc)
		refuse_options("there are only options");
	if (!options->port)
		refuse_options("--port is missing");
	if (!options->users)
		options->users = options->recipients;
	if (options->users < options->recipients)
		refuse_options("--users is less than --recipients");
	if (strlen(options->domain) > 255 || strlen(options->sender) > 255)
		refuse_options("--domain and --sender have at most 255 characters");
	options_address(options);
	if (options->sources && options->address.ss_family != AF_INET)
		refuse_options("--sources goes with an IPv4 address");
}

#endif
