/* A client that brings its own resolver, as Go programs and many implants do.
 *
 *   static-client udp|tcp SERVER SERVER-PORT NAME PORT
 *
 * Sends one hand-made A query to SERVER, takes the first A record, connects to it on PORT and writes a line.
 * Prints {"rcode":0,"address":"203.0.113.66","connected":true,"error":"","ms":1.2}; "ms" is the connect alone.
 * Exit code: 0 connected, 1 the query could not be sent or got no answer, 4 no address, 5 connect refused.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int end(int rcode, const char *address, int connected, int error, double ms, int code) {
    printf("{\"rcode\":%d,\"address\":\"%s\",\"connected\":%s,\"error\":\"%s\",\"ms\":%.3f}\n", rcode, address,
           connected ? "true" : "false", error ? strerrorname_np(error) : "", ms);
    return code;
}

static size_t question(const char *name, unsigned char *out) {
    static const unsigned char head[12] = {0x5a, 0x5a, 1, 0, 0, 1};
    memcpy(out, head, sizeof head);
    size_t at = sizeof head;
    for (const char *label = name; *label;) {
        size_t length = strcspn(label, ".");
        out[at++] = length;
        memcpy(out + at, label, length);
        at += length;
        label += length + (label[length] == '.');
    }
    static const unsigned char tail[5] = {0, 0, 1, 0, 1};
    memcpy(out + at, tail, sizeof tail);
    return at + sizeof tail;
}

static size_t skip_name(const unsigned char *m, size_t at, size_t end) {
    while (at < end && m[at]) {
        if (m[at] >= 0xc0) return at + 2;
        at += 1 + m[at];
    }
    return at + 1;
}

static int first_address(const unsigned char *m, size_t length, struct in_addr *address) {
    if (length < 12) return -1;
    size_t at = skip_name(m, 12, length) + 4;
    for (int left = m[6] << 8 | m[7]; left > 0; left--) {
        at = skip_name(m, at, length);
        if (at + 10 > length) return -1;
        int kind = m[at] << 8 | m[at + 1], size = m[at + 8] << 8 | m[at + 9];
        at += 10;
        if (kind == 1 && size == 4 && at + 4 <= length) {
            memcpy(address, m + at, 4);
            return 0;
        }
        at += size;
    }
    return -1;
}

int main(int count, char **words) {
    if (count != 6) return 2;
    int tcp = !strcmp(words[1], "tcp");
    struct sockaddr_storage server = {0};
    struct sockaddr_in *v4 = (void *)&server;
    struct sockaddr_in6 *v6 = (void *)&server;
    socklen_t size = sizeof *v4;
    if (inet_pton(AF_INET, words[2], &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(atoi(words[3]));
    } else if (inet_pton(AF_INET6, words[2], &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(atoi(words[3]));
        size = sizeof *v6;
    } else {
        return 2;
    }
    unsigned char query[600], answer[4096];
    size_t length = question(words[4], query + 2);
    query[0] = length >> 8;
    query[1] = length;
    int fd = socket(server.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    struct timeval bound = {.tv_sec = 3};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    ssize_t got = -1;
    if (tcp) {
        if (connect(fd, (void *)&server, size) < 0 || write(fd, query, length + 2) < 0)
            return end(-1, "", 0, errno, 0, 1);
        got = recv(fd, answer, 2, MSG_WAITALL);
        if (got == 2) got = recv(fd, answer, answer[0] << 8 | answer[1], MSG_WAITALL);
    } else {
        /* Unconnected, so that an answer from another address than the one asked is seen and refused. */
        struct sockaddr_storage from = {0};
        socklen_t from_size = sizeof from;
        if (sendto(fd, query + 2, length, 0, (void *)&server, size) < 0) return end(-1, "", 0, errno, 0, 1);
        got = recvfrom(fd, answer, sizeof answer, 0, (void *)&from, &from_size);
        if (got >= 0 && memcmp(&from, &server, server.ss_family == AF_INET ? 8 : 24) != 0) {
            if (server.ss_family == AF_INET || memcmp(&((struct sockaddr_in6 *)&from)->sin6_addr, &v6->sin6_addr, 16)) {
                return end(-1, "", 0, ESTALE, 0, 1);
            }
        }
    }
    if (got < 12) return end(-1, "", 0, errno, 0, 1);
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(atoi(words[5]))};
    int rcode = answer[3] & 15;
    if (first_address(answer, got, &target.sin_addr) < 0) return end(rcode, "", 0, 0, 0, 4);
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &target.sin_addr, text, sizeof text);
    int out = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    setsockopt(out, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int refused = connect(out, (void *)&target, sizeof target) < 0 ? errno : 0;
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ms = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
    if (refused) return end(rcode, text, 0, refused, ms, 5);
    static const char line[] = "GET / HTTP/1.0\r\n\r\n";
    if (write(out, line, sizeof line - 1) < 0 || read(out, answer, sizeof answer) < 0)
        return end(rcode, text, 0, errno, ms, 5);
    return end(rcode, text, 1, 0, ms, 0);
}
