/* Opens and closes TCP connections one after another:  storm 4|6 NAME PORT COUNT
 *
 * The name is looked up once. The server is one that resets each connection when it has accepted it;
 * that is waited for before the next, so that its accept queue never fills. Prints
 * {"connections":20000,"seconds":0.9,"per_second":22222.2}. Exit code 1 at the first failure.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count != 5) return 2;
    struct addrinfo wanted = {.ai_family = words[1][0] == '6' ? AF_INET6 : AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *peer;
    int error = getaddrinfo(words[2], words[3], &wanted, &peer);
    if (error) return fprintf(stderr, "%s\n", gai_strerror(error)), 1;
    long rounds = atol(words[4]);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long n = 0; n < rounds; n++) {
        char byte;
        int fd = socket(peer->ai_family, SOCK_STREAM, 0);
        /* The reset may come before connect() has returned. */
        if (fd >= 0 && connect(fd, peer->ai_addr, peer->ai_addrlen) == 0 && read(fd, &byte, 1) >= 0)
            return fprintf(stderr, "round %ld: not reset by the server\n", n), 1;
        if (errno != ECONNRESET) return fprintf(stderr, "round %ld: %s\n", n, strerror(errno)), 1;
        close(fd);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9;
    printf("{\"connections\":%ld,\"seconds\":%.4f,\"per_second\":%.1f}\n", rounds, seconds, rounds / seconds);
    return 0;
}
