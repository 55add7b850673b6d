/* Every way to send, one act per run:  probe ACT ADDRESS PORT [DETOUR-ADDRESS DETOUR-PORT]
 *
 * ADDRESS is IPv4 or IPv6. The detour is an address that the policy allows; acts that move a socket from
 * one peer to another start there. Prints one JSON line
 *   {"act":"tcp-write","result":"ok"|ERRNO|"unsupported","stage":"connect","ms":0.123}
 * where "ms" is what the named stage took. Exit code: 0 sent, 1 refused, 3 unsupported here, 2 usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { SENT = 0, REFUSED = 1, USAGE = 2, UNSUPPORTED = 3, TIMEOUT_MS = 3000 };

static const char PAYLOAD[] = "bytes that must not get out\n";
static const char *act;
static struct timespec begun;

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static void begin(void) { clock_gettime(CLOCK_MONOTONIC, &begun); }

static int report(const char *result, const char *stage, int code) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double ms = (now.tv_sec - begun.tv_sec) * 1e3 + (now.tv_nsec - begun.tv_nsec) / 1e6;
    printf("{\"act\":\"%s\",\"result\":\"%s\",\"stage\":\"%s\",\"ms\":%.3f}\n", act, result, stage, ms);
    return code;
}

static int failed(const char *stage) {
    int error = errno;
    int missing = error == EPROTONOSUPPORT || error == ESOCKTNOSUPPORT || error == EAFNOSUPPORT ||
                  error == EOPNOTSUPP || error == ENOPROTOOPT;
    if (missing) return report("unsupported", stage, UNSUPPORTED);
    return report(strerrorname_np(error), stage, REFUSED);
}

static int sent(const char *stage) { return report("ok", stage, SENT); }

static socklen_t size_of(const union peer *peer) {
    return peer->any.sa_family == AF_INET ? sizeof peer->v4 : sizeof peer->v6;
}

static int parse(const char *address, const char *port, union peer *peer) {
    memset(peer, 0, sizeof *peer);
    uint16_t number = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, address, &peer->v4.sin_addr) == 1) {
        peer->v4.sin_family = AF_INET;
        peer->v4.sin_port = number;
        return 0;
    }
    if (inet_pton(AF_INET6, address, &peer->v6.sin6_addr) == 1) {
        peer->v6.sin6_family = AF_INET6;
        peer->v6.sin6_port = number;
        return 0;
    }
    return -1;
}

/* The IPv4 peer as ::ffff:a.b.c.d. */
static void map(union peer *peer) {
    struct sockaddr_in v4 = peer->v4;
    memset(peer, 0, sizeof *peer);
    peer->v6.sin6_family = AF_INET6;
    peer->v6.sin6_port = v4.sin_port;
    peer->v6.sin6_addr.s6_addr[10] = peer->v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(peer->v6.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
}

/* A connect that cannot hang longer than TIMEOUT_MS. */
static int connect_bounded(int fd, const union peer *peer) {
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int result = connect(fd, &peer->any, size_of(peer));
    if (result < 0 && errno == EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (poll(&wait, 1, TIMEOUT_MS) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        errno = error;
        result = error ? -1 : 0;
    }
    fcntl(fd, F_SETFL, flags);
    return result;
}

/* Waits for the receiver's answer, so that the bytes have certainly arrived before the process ends. */
static void await_reply(int fd) {
    char reply[512];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, 500) > 0 && recv(fd, reply, sizeof reply, 0) < 0) errno = 0;
}

static int stream(const union peer *peer, int protocol) {
    int fd = socket(peer->any.sa_family, SOCK_STREAM, protocol);
    if (fd < 0) return failed("socket");
    begin();
    if (connect_bounded(fd, peer) < 0) return failed("connect");
    if (write(fd, PAYLOAD, sizeof PAYLOAD - 1) < 0) return failed("write");
    int code = sent("write");
    await_reply(fd);
    return code;
}

static int stream_with_option(const union peer *peer, int option, const void *value, socklen_t size) {
    int fd = socket(peer->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0) return failed("socket");
    if (setsockopt(fd, SOL_SOCKET, option, value, size) < 0) return failed("setsockopt");
    begin();
    if (connect_bounded(fd, peer) < 0) return failed("connect");
    if (write(fd, PAYLOAD, sizeof PAYLOAD - 1) < 0) return failed("write");
    int code = sent("write");
    await_reply(fd);
    return code;
}

static int fast_open(const union peer *peer) {
    int fd = socket(peer->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0) return failed("socket");
    struct timeval bound = {.tv_sec = TIMEOUT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    begin();
    ssize_t done = sendto(fd, PAYLOAD, sizeof PAYLOAD - 1, MSG_FASTOPEN, &peer->any, size_of(peer));
    if (done < 0) return failed("sendto");
    int code = sent("sendto");
    await_reply(fd);
    return code;
}

static int through_splice(const union peer *peer, int type) {
    int ends[2];
    int fd = socket(peer->any.sa_family, type, 0);
    if (fd < 0 || pipe(ends) < 0) return failed("socket");
    begin();
    if (connect_bounded(fd, peer) < 0) return failed("connect");
    if (write(ends[1], PAYLOAD, sizeof PAYLOAD - 1) < 0) return failed("pipe");
    if (splice(ends[0], NULL, fd, NULL, sizeof PAYLOAD - 1, 0) < 0) return failed("splice");
    int code = sent("splice");
    await_reply(fd);
    return code;
}

enum datagram { SENDTO, SENDMSG, SENDMMSG, CONNECT_WRITE, RECONNECT, DISCONNECT, SEGMENTS, FRAGMENTS };

static int datagram(const union peer *peer, const union peer *detour, enum datagram way, int protocol) {
    int fd = socket(peer->any.sa_family, SOCK_DGRAM, protocol);
    if (fd < 0) return failed("socket");
    union peer target = *peer;
    static char large[4000];
    memset(large, 'x', sizeof large);
    int big = way == FRAGMENTS || way == SEGMENTS;
    struct iovec bytes = {.iov_base = big ? large : (char *)PAYLOAD,
                          .iov_len = big ? sizeof large : sizeof PAYLOAD - 1};
    struct mmsghdr message = {.msg_hdr = {.msg_name = &target,
                                          .msg_namelen = size_of(peer),
                                          .msg_iov = &bytes,
                                          .msg_iovlen = 1}};
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    ssize_t done = 0;
    begin();
    if (way == RECONNECT || way == DISCONNECT) {
        if (detour->any.sa_family != peer->any.sa_family) return USAGE;
        if (connect(fd, &detour->any, size_of(detour)) < 0) return failed("detour");
    }
    if (way == DISCONNECT && connect(fd, &nobody, sizeof nobody) < 0) return failed("disconnect");
    if (way == CONNECT_WRITE || way == RECONNECT) {
        if (connect(fd, &peer->any, size_of(peer)) < 0) return failed("connect");
        done = write(fd, PAYLOAD, sizeof PAYLOAD - 1);
    } else if (way == SENDTO || way == DISCONNECT) {
        done = sendto(fd, PAYLOAD, sizeof PAYLOAD - 1, 0, &peer->any, size_of(peer));
    } else if (way == SENDMMSG) {
        done = sendmmsg(fd, &message, 1, 0);
    } else {
        int size = 500;
        if (way == SEGMENTS && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) < 0)
            return failed("setsockopt");
        done = sendmsg(fd, &message.msg_hdr, 0);
    }
    if (done < 0) return failed("send");
    int code = sent("send");
    await_reply(fd);
    return code;
}

static int echo_request(const union peer *peer, int type) {
    int v4 = peer->any.sa_family == AF_INET;
    int fd = socket(peer->any.sa_family, type, v4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
    if (fd < 0) return failed("socket");
    union peer target = *peer;
    if (type == SOCK_RAW && !v4) target.v6.sin6_port = 0;
    unsigned char packet[40] = {v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, 0};
    memcpy(packet + 8, PAYLOAD, sizeof PAYLOAD - 1);
    if (type == SOCK_RAW && v4) {
        uint32_t sum = 0;
        for (size_t at = 0; at < sizeof packet; at += 2) sum += packet[at] << 8 | packet[at + 1];
        while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
        packet[2] = ~sum >> 8;
        packet[3] = ~sum;
    }
    begin();
    if (sendto(fd, packet, sizeof packet, 0, &target.any, size_of(&target)) < 0) return failed("sendto");
    int code = sent("sendto");
    await_reply(fd);
    return code;
}

/* A whole IPv4 packet by hand: UDP to the peer, from a source address that may be a lie. */
static size_t build_udp(const union peer *peer, const char *source, unsigned char *packet) {
    size_t length = sizeof PAYLOAD - 1;
    struct iphdr *ip = (struct iphdr *)packet;
    struct udphdr *udp = (struct udphdr *)(packet + sizeof *ip);
    memset(packet, 0, sizeof *ip + sizeof *udp);
    ip->version = 4;
    ip->ihl = 5;
    ip->ttl = 64;
    ip->protocol = IPPROTO_UDP;
    ip->tot_len = htons(sizeof *ip + sizeof *udp + length);
    inet_pton(AF_INET, source, &ip->saddr);
    ip->daddr = peer->v4.sin_addr.s_addr;
    uint32_t sum = 0;
    for (size_t at = 0; at < sizeof *ip; at += 2) sum += packet[at] << 8 | packet[at + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    ip->check = htons(~sum);
    udp->source = htons(4242);
    udp->dest = peer->v4.sin_port;
    udp->len = htons(sizeof *udp + length);
    memcpy(packet + sizeof *ip + sizeof *udp, PAYLOAD, length);
    return sizeof *ip + sizeof *udp + length;
}

static int raw_packet(const union peer *peer, const char *source) {
    unsigned char packet[256];
    if (peer->any.sa_family != AF_INET) return USAGE;
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (fd < 0) return failed("socket");
    size_t length = build_udp(peer, source, packet);
    begin();
    if (sendto(fd, packet, length, 0, &peer->any, size_of(peer)) < 0) return failed("sendto");
    return sent("sendto");
}

/* Below IP: a frame straight onto eth0, to the broadcast address, which the router takes too. */
static int frame(const union peer *peer, int type) {
    unsigned char buffer[300];
    if (peer->any.sa_family != AF_INET) return USAGE;
    int fd = socket(AF_PACKET, type, htons(ETH_P_IP));
    if (fd < 0) return failed("socket");
    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_IP),
                               .sll_ifindex = (int)if_nametoindex("eth0"),
                               .sll_halen = 6};
    /* The router's link address is in the neighbour table once anything has been resolved. */
    FILE *table = fopen("/proc/net/arp", "r");
    char line[256];
    unsigned int mac[6] = {0};
    while (table && fgets(line, sizeof line, table))
        if (sscanf(line, "%*s %*s %*s %x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6)
            break;
    if (table) fclose(table);
    size_t head = type == SOCK_RAW ? 14 : 0;
    for (int at = 0; at < 6; at++) {
        link.sll_addr[at] = mac[at];
        buffer[at] = mac[at];
        buffer[6 + at] = at == 0 ? 2 : at;
    }
    buffer[12] = 8;
    buffer[13] = 0;
    size_t length = head + build_udp(peer, "198.51.100.10", buffer + head);
    begin();
    if (sendto(fd, buffer, length, 0, (struct sockaddr *)&link, sizeof link) < 0) return failed("sendto");
    return sent("sendto");
}

static int broadcast(const union peer *peer) {
    int on = 1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) return failed("socket");
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    begin();
    ssize_t done = sendto(fd, PAYLOAD, sizeof PAYLOAD - 1, 0, &peer->any, size_of(peer));
    return done < 0 ? failed("sendto") : sent("sendto");
}

/* Only whether such a socket can be had at all. */
static int only_open(int family, int type, int protocol) {
    begin();
    int fd = socket(family, type, protocol);
    return fd < 0 ? failed("socket") : sent("socket");
}

int main(int count, char **words) {
    union peer peer, detour;
    if (count < 4 || parse(words[2], words[3], &peer) < 0) return USAGE;
    if (count < 6 || parse(words[4], words[5], &detour) < 0) detour = peer;
    act = words[1];
    int one = 1, mark = 0x1234;
    int is_mapped = strncmp(act, "mapped-", 7) == 0;
    const char *way = is_mapped ? act + 7 : act;
    if (is_mapped) map(&peer);
    begin();
    if (!strcmp(way, "tcp")) return stream(&peer, 0);
    if (!strcmp(way, "mptcp")) return stream(&peer, IPPROTO_MPTCP);
    if (!strcmp(way, "sctp")) return stream(&peer, IPPROTO_SCTP);
    if (!strcmp(way, "tcp-fastopen")) return fast_open(&peer);
    if (!strcmp(way, "tcp-splice")) return through_splice(&peer, SOCK_STREAM);
    if (!strcmp(way, "tcp-mark")) return stream_with_option(&peer, SO_MARK, &mark, sizeof mark);
    if (!strcmp(way, "tcp-device")) return stream_with_option(&peer, SO_BINDTODEVICE, "eth0", 5);
    if (!strcmp(way, "tcp-dontroute")) return stream_with_option(&peer, SO_DONTROUTE, &one, sizeof one);
    if (!strcmp(way, "udp-sendto")) return datagram(&peer, &detour, SENDTO, 0);
    if (!strcmp(way, "udp-sendmsg")) return datagram(&peer, &detour, SENDMSG, 0);
    if (!strcmp(way, "udp-sendmmsg")) return datagram(&peer, &detour, SENDMMSG, 0);
    if (!strcmp(way, "udp-write")) return datagram(&peer, &detour, CONNECT_WRITE, 0);
    if (!strcmp(way, "udp-reconnect")) return datagram(&peer, &detour, RECONNECT, 0);
    if (!strcmp(way, "udp-disconnect")) return datagram(&peer, &detour, DISCONNECT, 0);
    if (!strcmp(way, "udp-segments")) return datagram(&peer, &detour, SEGMENTS, 0);
    if (!strcmp(way, "udp-fragments")) return datagram(&peer, &detour, FRAGMENTS, 0);
    if (!strcmp(way, "udp-splice")) return through_splice(&peer, SOCK_DGRAM);
    if (!strcmp(way, "udplite")) return datagram(&peer, &detour, SENDTO, IPPROTO_UDPLITE);
    if (!strcmp(way, "icmp-datagram")) return echo_request(&peer, SOCK_DGRAM);
    if (!strcmp(way, "icmp-raw")) return echo_request(&peer, SOCK_RAW);
    if (!strcmp(way, "raw-udp")) return raw_packet(&peer, "198.51.100.10");
    if (!strcmp(way, "raw-spoofed")) return raw_packet(&peer, "198.51.100.77");
    if (!strcmp(way, "packet-datagram")) return frame(&peer, SOCK_DGRAM);
    if (!strcmp(way, "packet-raw")) return frame(&peer, SOCK_RAW);
    if (!strcmp(way, "broadcast")) return broadcast(&peer);
    if (!strcmp(way, "open-xdp")) return only_open(AF_XDP, SOCK_RAW, 0);
    if (!strcmp(way, "open-vsock")) return only_open(AF_VSOCK, SOCK_STREAM, 0);
    fprintf(stderr, "unknown act %s\n", act);
    return USAGE;
}
