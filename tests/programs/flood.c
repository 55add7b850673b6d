/* A job that sends from its first instruction on.
 *
 *   flood IPV4 IPV6 ROUNDS
 *
 * Each round sends a datagram and a SYN to each of some ports of both addresses; 0 rounds is for ever, with a
 * breath between two rounds. Linked statically, it asks no resolver and reads no file before the first send.
 * Prints {"tries":80,"refused":80} and ends with code 0.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const unsigned short ports[] = {1, 22, 53, 80, 123, 443, 853, 4444, 8443, 51820, 65535};
static unsigned long tries, refused;

/* What goes to port 53 is captured, not refused, and a connect under way is none that was refused. */
static void count(unsigned short port, int failed) {
    if (port == 53) return;
    tries++;
    if (failed && errno != EINPROGRESS) refused++;
}

static void send_to(const struct sockaddr *to, socklen_t size, unsigned short port) {
    int datagrams = socket(to->sa_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    count(port, sendto(datagrams, "leak", 4, 0, to, size) < 0);
    close(datagrams);
    int stream = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    count(port, connect(stream, to, size) < 0);
    close(stream);
}

int main(int words, char **word) {
    if (words != 4) return 2;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, word[1], &v4.sin_addr) != 1) return 2;
    if (inet_pton(AF_INET6, word[2], &v6.sin6_addr) != 1) return 2;
    long rounds = atol(word[3]);
    struct timespec breath = {.tv_nsec = 2000000};
    for (long round = 0; rounds == 0 || round < rounds; round++) {
        for (size_t at = 0; at < sizeof ports / sizeof *ports; at++) {
            v4.sin_port = v6.sin6_port = htons(ports[at]);
            send_to((void *)&v4, sizeof v4, ports[at]);
            send_to((void *)&v6, sizeof v6, ports[at]);
        }
        if (rounds == 0) nanosleep(&breath, NULL);
    }
    printf("{\"tries\":%lu,\"refused\":%lu}\n", tries, refused);
    return 0;
}
