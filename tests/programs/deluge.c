/* A job that takes as much of everything as it can get, from several processes at once; and one that asks little.
 *
 *   deluge names    MS PROCESSES SERVER SUFFIX                 distinct questions over UDP, answers read when they come
 *   deluge streams  MS PROCESSES SERVER SUFFIX                 the same over TCP: pipelined, half-written, left open
 *   deluge events   MS PROCESSES IPV4 IPV6 PORT SPREAD COUNT   datagrams and SYNs to SPREAD addresses from each of
 *                                                              the two on, COUNT a process, one port after another
 *   deluge repeats  MS PROCESSES IPV4 IPV6 PORT SPREAD COUNT   the same, all of it over and over
 *   deluge entries  MS PROCESSES SERVER SUFFIX COUNT           COUNT names a process, A and AAAA, each waited for,
 *                                                              over and over
 *   deluge connects MS PROCESSES ADDRESS PORT                  connections, reset as soon as they are open
 *   deluge requests MS PROCESSES ADDRESS KIND                  HTTP requests to port 80: `whole` ones, or `slow`:
 *                                                              half-written ones and connections that say nothing
 *   deluge ask      MS GAP-MS    SERVER SUFFIX COUNT           COUNT new names one after another, and how long each took
 *
 * Ends after MS milliseconds or at SIGTERM, and prints what all processes did in one line of JSON, which has the
 * slowest answer in milliseconds; a question that is not answered within 5 s counts as unanswered. Statically linked.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 24, PATIENCE_MS = 5000 };

/* What all processes count together. */
static struct shared {
    unsigned long tries, done, refused, answered, nxdomain, failed, unanswered, worst_us;
    int stop;
} *all;

static double ends_ms;

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static void add(unsigned long *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int over(void) { return __atomic_load_n(&all->stop, __ATOMIC_RELAXED) || now_ms() > ends_ms; }

static void stop(int signal) {
    (void)signal;
    __atomic_store_n(&all->stop, 1, __ATOMIC_RELAXED);
}

static socklen_t parse(const char *address, int port, union peer *peer) {
    memset(peer, 0, sizeof *peer);
    if (inet_pton(AF_INET, address, &peer->v4.sin_addr) == 1) {
        peer->v4.sin_family = AF_INET;
        peer->v4.sin_port = htons(port);
        return sizeof peer->v4;
    }
    if (inet_pton(AF_INET6, address, &peer->v6.sin6_addr) != 1) exit(2);
    peer->v6.sin6_family = AF_INET6;
    peer->v6.sin6_port = htons(port);
    return sizeof peer->v6;
}

/* A question in wire form behind its length, as TCP wants it; the id is the number's. Returns the whole length. */
static size_t question(unsigned char *out, int process, unsigned number, const char *suffix, int kind) {
    char name[256];
    snprintf(name, sizeof name, "p%dn%u.%s", process, number, suffix);
    unsigned char head[12] = {number >> 8, number, 1, 0, 0, 1};
    memcpy(out + 2, head, sizeof head);
    size_t at = 2 + sizeof head;
    for (const char *label = name; *label;) {
        size_t length = strcspn(label, ".");
        out[at++] = length;
        memcpy(out + at, label, length);
        at += length;
        label += length + (label[length] == '.');
    }
    unsigned char tail[5] = {0, 0, kind, 0, 1};
    memcpy(out + at, tail, sizeof tail);
    at += sizeof tail;
    out[0] = (at - 2) >> 8;
    out[1] = at - 2;
    return at;
}

static void count_answer(const unsigned char *answer) {
    int rcode = answer[3] & 15;
    add(rcode == 0 ? &all->answered : rcode == 3 ? &all->nxdomain : &all->failed);
}

static void names(int process, char **word) {
    union peer server;
    socklen_t size = parse(word[0], 53, &server);
    unsigned char query[600], answer[4096];
    int fd = socket(server.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    for (unsigned number = 0; !over(); number++) {
        size_t length = question(query, process, number, word[1], number & 1 ? 1 : 28);
        add(&all->tries);
        if (sendto(fd, query + 2, length - 2, 0, &server.any, size) > 0) add(&all->done);
        while (recv(fd, answer, sizeof answer, 0) >= 12) count_answer(answer);
    }
}

/* Of every three connections one asks whatever it can without reading first, one stays in the middle of a question,
 * and one says nothing. All are closed and opened anew as soon as the server ends them. */
static void streams(int process, char **word) {
    union peer server;
    socklen_t size = parse(word[0], 53, &server);
    unsigned char query[600], answers[16384];
    int fds[CONNECTIONS];
    unsigned number = 0;
    memset(fds, -1, sizeof fds);
    while (!over()) {
        for (int at = 0; at < CONNECTIONS && !over(); at++) {
            if (fds[at] < 0) {
                fds[at] = socket(server.any.sa_family, SOCK_STREAM, 0);
                add(&all->tries);
                if (connect(fds[at], &server.any, size) < 0) {
                    close(fds[at]);
                    fds[at] = -1;
                    continue;
                }
                add(&all->done);
                fcntl(fds[at], F_SETFL, O_NONBLOCK);
                size_t length = question(query, process, number, word[1], 1);
                if (at % 3 == 1 && send(fds[at], query, length / 2, MSG_NOSIGNAL) < 0) add(&all->refused);
            }
            for (int burst = 0; at % 3 == 0 && burst < 64; burst++) {
                size_t length = question(query, process, ++number, word[1], 1);
                if (send(fds[at], query, length, MSG_NOSIGNAL) < (ssize_t)length) break;
            }
            ssize_t got = recv(fds[at], answers, sizeof answers, 0);
            if (got > 12) count_answer(answers + 2);
            if (got == 0 || (got < 0 && errno != EAGAIN)) {
                close(fds[at]);
                fds[at] = -1;
            }
        }
    }
}

static void outcome(long result) {
    add(&all->tries);
    add(result >= 0 || errno == EINPROGRESS ? &all->done : &all->refused);
}

static void send_all(int process, char **word, int over_and_over) {
    union peer v4, v6;
    parse(word[0], 0, &v4);
    parse(word[1], 0, &v6);
    int first = atoi(word[2]), spread = atoi(word[3]);
    long count = atol(word[4]);
    for (long turn = 0; (turn < count || over_and_over) && !over(); turn++) {
        long number = process * count + turn % count;
        in_port_t port = htons(first + number / spread % 30000);
        union peer to[2] = {v4, v6};
        to[0].v4.sin_addr.s_addr = htonl(ntohl(v4.v4.sin_addr.s_addr) + number % spread);
        to[0].v4.sin_port = port;
        to[1].v6.sin6_addr.s6_addr[14] += number % spread;
        to[1].v6.sin6_port = port;
        for (int family = 0; family < 2; family++) {
            socklen_t size = family ? sizeof to->v6 : sizeof to->v4;
            int fd = socket(to[family].any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
            outcome(sendto(fd, "leak", 4, 0, &to[family].any, size));
            close(fd);
            fd = socket(to[family].any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
            outcome(connect(fd, &to[family].any, size));
            close(fd);
        }
    }
}

static void events(int process, char **word) { send_all(process, word, 0); }

static void repeats(int process, char **word) { send_all(process, word, 1); }

/* Asks and waits; whether there was an answer. */
static int ask_one(int fd, const union peer *server, socklen_t size, int process, unsigned number, const char *suffix,
                   int kind) {
    unsigned char query[600], answer[4096];
    size_t length = question(query, process, number, suffix, kind);
    double begun = now_ms();
    add(&all->tries);
    if (sendto(fd, query + 2, length - 2, 0, &server->any, size) < 0) {
        add(&all->refused);
        return 0;
    }
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    for (;;) {
        double left = begun + PATIENCE_MS - now_ms();
        if (left <= 0 || poll(&wait, 1, left) <= 0) break;
        if (recv(fd, answer, sizeof answer, 0) < 12 || memcmp(answer, query + 2, 2)) continue;
        count_answer(answer);
        unsigned long took = (now_ms() - begun) * 1e3, worst = __atomic_load_n(&all->worst_us, __ATOMIC_RELAXED);
        if (took > worst) __atomic_store_n(&all->worst_us, took, __ATOMIC_RELAXED);
        return 1;
    }
    add(&all->unanswered);
    return 0;
}

static void entries(int process, char **word) {
    union peer server;
    socklen_t size = parse(word[0], 53, &server);
    long count = atol(word[2]);
    int fd = socket(server.any.sa_family, SOCK_DGRAM, 0);
    for (long turn = 0; !over(); turn++) {
        ask_one(fd, &server, size, process, turn % count, word[1], 1);
        ask_one(fd, &server, size, process, turn % count, word[1], 28);
    }
}

static void connects(int process, char **word) {
    (void)process;
    union peer peer;
    socklen_t size = parse(word[0], atoi(word[1]), &peer);
    struct linger reset = {.l_onoff = 1};
    struct timeval bound = {.tv_sec = 2};
    while (!over()) {
        int fd = socket(peer.any.sa_family, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
        add(&all->tries);
        /* The server's reset may come before connect() has returned. */
        int open = connect(fd, &peer.any, size) == 0 || errno == ECONNRESET;
        /* A server that does not keep up drops SYNs, which is nobody's refusal. */
        add(open ? &all->done : errno == EPERM ? &all->refused : &all->failed);
        close(fd);
    }
}

/* As streams, in HTTP. */
static void requests(int process, char **word) {
    (void)process;
    static const char request[] = "GET /?format=json HTTP/1.1\r\nhost: weir.internal\r\n\r\n";
    union peer server;
    socklen_t size = parse(word[0], 80, &server);
    int is_slow = !strcmp(word[1], "slow");
    char answer[65536];
    int fds[CONNECTIONS];
    memset(fds, -1, sizeof fds);
    while (!over()) {
        for (int at = 0; at < CONNECTIONS && !over(); at++) {
            if (fds[at] < 0) {
                fds[at] = socket(server.any.sa_family, SOCK_STREAM, 0);
                add(&all->tries);
                if (connect(fds[at], &server.any, size) < 0) {
                    add(errno == EPERM ? &all->refused : &all->failed);
                    close(fds[at]);
                    fds[at] = -1;
                    continue;
                }
                add(&all->done);
                fcntl(fds[at], F_SETFL, O_NONBLOCK);
                size_t length = is_slow ? (at & 1) * sizeof request / 2 : sizeof request - 1;
                if (length && send(fds[at], request, length, MSG_NOSIGNAL) < 0) add(&all->failed);
            }
            ssize_t got = recv(fds[at], answer, sizeof answer, 0);
            if (got > 12 && !memcmp(answer, "HTTP/1.1 200", 12)) add(&all->answered);
            if (got == 0 || (got < 0 && errno != EAGAIN)) {
                close(fds[at]);
                fds[at] = -1;
            }
        }
    }
}

static void ask(long gap_ms, char **word) {
    union peer server;
    socklen_t size = parse(word[0], 53, &server);
    long count = atol(word[2]);
    struct timespec gap = {.tv_sec = gap_ms / 1000, .tv_nsec = gap_ms % 1000 * 1000000};
    for (long number = 0; number < count && !over(); number++) {
        int fd = socket(server.any.sa_family, SOCK_DGRAM, 0);
        ask_one(fd, &server, size, 0, number, word[1], number & 1 ? 28 : 1);
        close(fd);
        nanosleep(&gap, NULL);
    }
}

static const struct act {
    const char *name;
    int words;
    void (*run)(int, char **);
} acts[] = {{"names", 2, names},     {"streams", 2, streams},   {"events", 5, events},     {"repeats", 5, repeats},
            {"entries", 3, entries}, {"connects", 2, connects}, {"requests", 2, requests}, {"ask", 3, NULL}};

int main(int words, char **word) {
    if (words < 4) return 2;
    const struct act *act = acts, *end = acts + sizeof acts / sizeof *acts;
    while (act < end && strcmp(word[1], act->name)) act++;
    if (act == end || words != act->words + 4) return 2;
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 2;
    struct sigaction on_end = {.sa_handler = stop};
    sigaction(SIGTERM, &on_end, NULL);
    /* A node gives its own work more of the CPU than jobs (cpu.weight); the lab has no controller for that. */
    if (nice(10) == -1) return 2;
    ends_ms = now_ms() + atol(word[2]);
    int processes = atoi(word[3]);
    if (act->run == NULL) {
        ask(processes, word + 4);
    } else {
        for (int process = 0; process < processes; process++) {
            if (fork() == 0) {
                act->run(process, word + 4);
                _exit(0);
            }
        }
        while (wait(NULL) > 0 || errno == EINTR) {}
    }
    printf("{\"tries\":%lu,\"done\":%lu,\"refused\":%lu,\"answered\":%lu,\"nxdomain\":%lu,\"failed\":%lu,"
           "\"unanswered\":%lu,\"worst_ms\":%.1f}\n",
           all->tries, all->done, all->refused, all->answered, all->nxdomain, all->failed, all->unanswered,
           all->worst_us / 1e3);
    return 0;
}
