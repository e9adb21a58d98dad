/*
 * Drive an SMTP or LMTP server and check each of its replies: one thread, one epoll, so that on a machine with few
 * processors the server and not its client is measured.
 *
 * smtp_load --help tells the options. The clock runs from the first connect to the last close. A
 * connection whose reply is not the expected one is counted with that reply's text and closed; its
 * messages are missing then, nothing is sent twice.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "load.h"
#include "smtp_message.h"
#include "smtp_options.h"
#include "smtp_report.h"

#define REPLY_LINE_BYTES_MAX 2048
#define EVENTS_MAX 256
/* A server's queue of connections that it has not accepted has some hundred places. */
#define IDLE_OPENING_MAX 100
#define SMALL_OUTPUT_BYTES 512
#define STDIN_MARK NULL

struct connection {
	int fd;
	enum stage stage;
	int bounces, pipelined, quit_sent, wants_output, stands;
	uint32_t replies_left; /* in STAGE_RCPT and STAGE_CONTENT */
	uint32_t first_user;
	uint64_t messages_left;
	uint64_t message; /* number of the one under way */
	double began;
	char line[REPLY_LINE_BYTES_MAX];
	size_t line_length;
	char *output;
	size_t output_length, output_done, output_room;
};

static struct options options;
static struct report report;
static struct message_template message_template;
static struct connection *connections;
static char **rcpt_lines;
static uint64_t connections_asked, bounces_asked, messages_begun;
static uint32_t next_user, open_now, opening, standing;
static int epoll_fd;

static void open_next(struct connection *connection);

/* Bounced connections come evenly between the others, and exactly as many as were asked for. */
static int is_bounce(uint64_t index)
{
	return (index + 1) * bounces_asked / connections_asked >
	       index * bounces_asked / connections_asked;
}

static void release(struct connection *connection)
{
	close(connection->fd);
	connection->fd = -1;
	open_now--;
	if (options.idle) {
		if (connection->stands)
			standing--;
		else
			opening--;
		return;
	}
	open_next(connection);
}

static void fail(struct connection *connection, const char *text)
{
	report_error(&report, connection->stage, text);
	release(connection);
}

static void watch(struct connection *connection, int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | (connection->wants_output ? EPOLLOUT : 0),
		.data.ptr = connection,
	};

	if (epoll_ctl(epoll_fd, operation, connection->fd, &event))
		die("epoll_ctl");
}

/* 0: the connection has failed and is another one now, or closed. */
static int flush(struct connection *connection)
{
	while (connection->output_done < connection->output_length) {
		ssize_t sent = send(connection->fd, connection->output + connection->output_done,
				    connection->output_length - connection->output_done,
				    MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			if (!connection->wants_output) {
				connection->wants_output = 1;
				watch(connection, EPOLL_CTL_MOD);
			}
			return 1;
		}
		if (sent < 0) {
			fail(connection, strerror(errno));
			return 0;
		}
		connection->output_done += (size_t)sent;
	}
	connection->output_done = connection->output_length = 0;
	if (connection->wants_output) {
		connection->wants_output = 0;
		watch(connection, EPOLL_CTL_MOD);
	}
	return 1;
}

static void put(struct connection *connection, const char *text)
{
	size_t length = strlen(text);

	if (connection->output_length + length > connection->output_room)
		abort();
	memcpy(connection->output + connection->output_length, text, length);
	connection->output_length += length;
}

static void put_quit(struct connection *connection)
{
	put(connection, "QUIT\r\n");
	connection->quit_sent = 1;
}

static void put_mail(struct connection *connection)
{
	put(connection, "MAIL FROM:<");
	put(connection, options.sender);
	put(connection, ">\r\n");
}

static void put_rcpt(struct connection *connection, uint32_t index)
{
	char line[400];

	if (!connection->bounces) {
		put(connection, rcpt_lines[(connection->first_user + index) % options.users]);
		return;
	}
	snprintf(line, sizeof(line), "RCPT TO:<unknown%" PRIu64 "@%s>\r\n",
		 connection->message, options.domain);
	put(connection, line);
}

static void put_content(struct connection *connection)
{
	if (connection->output_length + message_template.length + 16 > connection->output_room)
		abort();
	connection->output_length += message_write(
		&message_template, connection->output + connection->output_length,
		connection->message);
	put(connection, ".\r\n");
	if (connection->pipelined && connection->messages_left == 0)
		put_quit(connection);
}

static int begin_transaction(struct connection *connection)
{
	connection->replies_left = connection->bounces ? 1 : options.recipients;
	connection->message = connection->bounces ? report.connections : messages_begun++;
	if (!connection->bounces) {
		connection->messages_left--;
		connection->first_user = next_user;
		if (options.rotate)
			next_user = (next_user + options.recipients) % options.users;
	}
	connection->began = now_seconds();
	connection->stage = STAGE_MAIL;
	put_mail(connection);
	if (connection->pipelined) {
		for (uint32_t i = 0; i < connection->replies_left; i++)
			put_rcpt(connection, i);
		if (!connection->bounces)
			put(connection, "DATA\r\n");
	}
	return flush(connection);
}

static int quit(struct connection *connection)
{
	connection->stage = STAGE_QUIT;
	if (!connection->quit_sent)
		put_quit(connection);
	return flush(connection);
}

static int taken(struct connection *connection)
{
	report.latencies_ms[report.good++] = (float)((now_seconds() - connection->began) * 1e3);
	return connection->messages_left > 0 ? begin_transaction(connection) : quit(connection);
}

static int after_rcpt(struct connection *connection)
{
	if (connection->bounces) {
		report.refused++;
		return quit(connection);
	}
	if (--connection->replies_left > 0) {
		if (!connection->pipelined)
			put_rcpt(connection, options.recipients - connection->replies_left);
		return flush(connection);
	}
	connection->stage = STAGE_DATA;
	if (!connection->pipelined)
		put(connection, "DATA\r\n");
	return flush(connection);
}

static int is_expected(const struct connection *connection, int code)
{
	switch (connection->stage) {
	case STAGE_GREETING: return code == 220;
	case STAGE_RCPT: return connection->bounces ? code == 550 : code == 250 || code == 251;
	case STAGE_DATA: return code == 354;
	case STAGE_QUIT: return code == 221;
	case STAGE_IDLE: return 0;
	default: return code == 250;
	}
}

static int stand_idle(struct connection *connection)
{
	connection->stage = STAGE_IDLE;
	connection->stands = 1;
	opening--;
	standing++;
	return 1;
}

/* The last line of a reply. 0: the connection is over. */
static int on_reply(struct connection *connection, int code)
{
	if (!is_expected(connection, code)) {
		fail(connection, connection->line);
		return 0;
	}
	switch (connection->stage) {
	case STAGE_GREETING:
		connection->stage = STAGE_EHLO;
		put(connection, options.lmtp ? "LHLO load.example.org\r\n" : "EHLO load.example.org\r\n");
		return flush(connection);
	case STAGE_EHLO:
		if (options.idle)
			return stand_idle(connection);
		report.pipelined += (uint64_t)connection->pipelined;
		return begin_transaction(connection);
	case STAGE_MAIL:
		connection->stage = STAGE_RCPT;
		if (!connection->pipelined)
			put_rcpt(connection, 0);
		return flush(connection);
	case STAGE_RCPT:
		return after_rcpt(connection);
	case STAGE_DATA:
		connection->stage = STAGE_CONTENT;
		connection->replies_left = options.lmtp ? options.recipients : 1;
		put_content(connection);
		return flush(connection);
	case STAGE_CONTENT:
		return --connection->replies_left > 0 ? 1 : taken(connection);
	default: /* STAGE_QUIT: is_expected() lets no other through */
		release(connection);
		return 0;
	}
}

static int on_line(struct connection *connection)
{
	const char *line = connection->line;

	if (connection->line_length < 3 || strspn(line, "0123456789") != 3 ||
	    (line[3] != ' ' && line[3] != '-' && line[3] != 0)) {
		char text[ERROR_TEXT_BYTES];

		snprintf(text, sizeof(text), "no reply: %.150s", line);
		fail(connection, text);
		return 0;
	}
	if (connection->stage == STAGE_EHLO && !options.lock_step &&
	    strcasecmp(line + 4, "PIPELINING") == 0)
		connection->pipelined = 1;
	return line[3] == '-' ? 1 : on_reply(connection, atoi(line));
}

static void on_input(struct connection *connection)
{
	static char buffer[1 << 16];
	ssize_t length = recv(connection->fd, buffer, sizeof(buffer), 0);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		fail(connection, length == 0 ? "closed by the server" : strerror(errno));
		return;
	}
	if (connection->stage == STAGE_CONNECT)
		connection->stage = STAGE_GREETING;
	for (ssize_t i = 0; i < length; i++) {
		if (buffer[i] != '\n') {
			if (connection->line_length + 1 >= REPLY_LINE_BYTES_MAX) {
				fail(connection, "a line without an end");
				return;
			}
			connection->line[connection->line_length++] = buffer[i];
			continue;
		}
		if (connection->line_length && connection->line[connection->line_length - 1] == '\r')
			connection->line_length--;
		connection->line[connection->line_length] = 0;
		if (!on_line(connection))
			return;
		connection->line_length = 0;
	}
}

static int connect_from(uint64_t index)
{
	struct sockaddr_in source = {.sin_family = AF_INET};
	int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (options.sources) {
		source.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)(index % options.sources));
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&source, sizeof(source)))
			die("bind");
	}
	if (connect(fd, (struct sockaddr *)&options.address, options.address_length) &&
	    errno != EINPROGRESS)
		die("connect");
	return fd;
}

/* Nothing happens when all connections that were asked for have been opened. */
static void open_next(struct connection *connection)
{
	uint64_t index = report.connections;

	if (index == connections_asked)
		return;
	report.connections++;
	connection->fd = connect_from(index);
	connection->stage = STAGE_CONNECT;
	connection->bounces = is_bounce(index);
	connection->pipelined = connection->quit_sent = connection->wants_output = 0;
	connection->stands = 0;
	connection->line_length = connection->output_length = connection->output_done = 0;
	connection->messages_left = 0;
	if (!connection->bounces && !options.idle) {
		static uint64_t given; /* to connections, those that failed included */
		uint64_t left = report.asked - given;

		connection->messages_left = left < options.per_connection ? left
									  : options.per_connection;
		given += connection->messages_left;
	}
	open_now++;
	opening++;
	watch(connection, EPOLL_CTL_ADD);
}

static void on_event(const struct epoll_event *event)
{
	struct connection *connection = event->data.ptr;

	if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		on_input(connection);
		return; /* what else there is comes again */
	}
	if (event->events & EPOLLOUT)
		flush(connection);
}

static void poll_events(double deadline)
{
	struct epoll_event events[EVENTS_MAX];
	double left = deadline - now_seconds();
	int count = epoll_wait(epoll_fd, events, EVENTS_MAX, left < 0 ? 0 : (int)(left * 1e3) + 1);

	if (count < 0 && errno != EINTR)
		die("epoll_wait");
	/* A connection has one event in a round, so none of them can be of one that was closed. */
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr != STDIN_MARK)
			on_event(&events[i]);
		else if (read(STDIN_FILENO, &(char[64]){0}, 64) <= 0)
			options.idle = 2; /* standard input has ended */
}

static void run_messages(double began)
{
	double deadline = began + options.deadline;

	for (uint32_t i = 0; i < options.connections; i++)
		open_next(&connections[i]);
	while (open_now > 0 && now_seconds() < deadline)
		poll_events(deadline);
	report.seconds = now_seconds() - began;
	report.unfinished = open_now;
}

static void run_idle(double began)
{
	double deadline = began + options.deadline;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = STDIN_MARK};

	while (now_seconds() < deadline && (report.connections < connections_asked || opening > 0)) {
		while (report.connections < connections_asked && opening < IDLE_OPENING_MAX)
			open_next(&connections[report.connections]);
		poll_events(deadline);
	}
	report.seconds = now_seconds() - began;
	report.unfinished = opening;
	printf("{\"standing\":%" PRIu32 ",\"seconds\":%.3f}\n", standing, report.seconds);
	fflush(stdout);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event))
		options.idle = 2; /* a file or /dev/null ends at once */
	while (options.idle == 1 && now_seconds() < deadline)
		poll_events(deadline);
	/* In idle mode a connection that stood to the end is what was asked for. */
	report.asked = report.good = 0;
}

static void allow_descriptors(rlim_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("getrlimit");
	if (limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("too few descriptors (ulimit -n) for so many connections");
}

static void prepare(void)
{
	size_t room = SMALL_OUTPUT_BYTES;
	char line[400];

	allow_descriptors(options.connections + 32);
	report.asked = options.idle ? 0 : options.messages;
	connections_asked = (options.messages + options.per_connection - 1) / options.per_connection;
	bounces_asked = (connections_asked * options.bounce_percent +
			 (100 - options.bounce_percent) / 2) / (100 - options.bounce_percent);
	connections_asked += bounces_asked;
	if (options.idle) {
		connections_asked = options.connections;
		bounces_asked = 0;
	} else {
		message_prepare(&message_template, options.size, options.sender, options.domain);
		room += message_template.length + options.recipients * (strlen(options.domain) + 40) +
			strlen(options.sender);
	}
	report.refusals_asked = bounces_asked;
	report.latencies_ms = allocate(sizeof(float) * (report.asked + 1));
	rcpt_lines = allocate(sizeof(*rcpt_lines) * options.users);
	for (uint32_t i = 0; i < options.users; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<user%" PRIu32 "@%s>\r\n", i + 1,
			 options.domain);
		rcpt_lines[i] = strdup(line);
	}
	connections = allocate(sizeof(*connections) * options.connections);
	for (uint32_t i = 0; i < options.connections; i++) {
		connections[i].output = allocate(room);
		connections[i].output_room = room;
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
}

int main(int argc, char **argv)
{
	options_parse(&options, argc, argv);
	prepare();
	if (options.idle)
		run_idle(now_seconds());
	else
		run_messages(now_seconds());
	report_print(&report);
	return report_is_clean(&report) ? 0 : 1;
}
