/* Frames onto a link from below IP, and what of them arrived on the other side.
 *
 *   frames send ACT INTERFACE SOURCE TARGET PORT   one frame by a packet or XDP socket, then the mark
 *   frames tun INTERFACE SOURCE TARGET PORT        one packet as if the tun device INTERFACE had brought it
 *   frames count INTERFACE                         says "ready", counts to the mark, prints the number
 *
 * SOURCE and TARGET are IPv4 or IPv6 as the act wants. Every frame has the link address LINK, by which the counter
 * knows it; the mark is an ARP request, which comes last because everything is sent from one processor.
 * Exit code: 0 done, 1 refused by the system, 2 usage, 3 no mark within ten seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DONE = 0, REFUSED = 1, USAGE = 2, NO_MARK = 3, WAIT_MS = 10000 };

static const unsigned char LINK[6] = {0x02, 0x77, 0x65, 0x69, 0x72, 0x01};
static const unsigned char EVERYBODY[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const unsigned char MARKED[4] = {192, 0, 2, 99};
static const char PAYLOAD[] = "bytes that must not get out\n";

static int failed(const char *what) {
    printf("%s: %s\n", what, strerrorname_np(errno));
    return REFUSED;
}

static void put16(unsigned char *at, unsigned value) {
    at[0] = value >> 8;
    at[1] = value;
}

static uint32_t sum_of(const unsigned char *bytes, size_t length, uint32_t sum) {
    for (size_t at = 0; at < length; at++) sum += at % 2 ? bytes[at] : bytes[at] << 8;
    return sum;
}

static unsigned folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static size_t udp(unsigned char *out, const unsigned char *addresses, size_t size, unsigned port) {
    size_t length = 8 + sizeof PAYLOAD - 1;
    put16(out, 4242);
    put16(out + 2, port);
    put16(out + 4, length);
    put16(out + 6, 0);
    memcpy(out + 8, PAYLOAD, sizeof PAYLOAD - 1);
    put16(out + 6, folded(sum_of(out, length, sum_of(addresses, size, 17 + length))));
    return length;
}

/* A UDP packet over IPv4; with `options`, behind a header of 24 bytes. */
static size_t packet_v4(unsigned char *out, const char *from, const char *to, unsigned port, int options) {
    size_t head = options ? 24 : 20;
    memset(out, 0, head);
    out[0] = 0x40 | head / 4;
    out[8] = 64;
    out[9] = 17;
    /* No-operation options (RFC 791, section 3.1). */
    if (options) memset(out + 20, 1, 4);
    inet_pton(AF_INET, from, out + 12);
    inet_pton(AF_INET, to, out + 16);
    size_t length = head + udp(out + head, out + 12, 8, port);
    put16(out + 2, length);
    put16(out + 10, folded(sum_of(out, head, 0)));
    return length;
}

static size_t packet_v6(unsigned char *out, const char *from, const char *to, unsigned port) {
    memset(out, 0, 40);
    out[0] = 0x60;
    out[6] = 17;
    out[7] = 64;
    inet_pton(AF_INET6, from, out + 8);
    inet_pton(AF_INET6, to, out + 24);
    size_t length = udp(out + 40, out + 8, 32, port);
    put16(out + 4, length);
    return 40 + length;
}

/* The router's link address, once anything has been resolved. */
static void router(unsigned char *link) {
    FILE *table = fopen("/proc/net/arp", "r");
    char line[256];
    unsigned int mac[6];
    while (table && fgets(line, sizeof line, table))
        if (sscanf(line, "%*s %*s %*s %x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6)
            for (int at = 0; at < 6; at++) link[at] = mac[at];
    if (table) fclose(table);
}

static int transmit(int fd, const char *interface, const unsigned char *frame, size_t length) {
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface), .sll_halen = 6};
    memcpy(link.sll_addr, frame, 6);
    link.sll_protocol = htons(frame[12] << 8 | frame[13]);
    return sendto(fd, frame, length, 0, (void *)&link, sizeof link) < 0 ? -1 : 0;
}

/* Tries again while the queue is busy: it is the last XDP socket's until a worker of the kernel has let go of that one's
 * memory (xp_put_pool), which is after the process has ended and is told to nobody. */
static int bind_xdp(int fd, const struct sockaddr_xdp *link) {
    for (int left_ms = WAIT_MS; bind(fd, (const void *)link, sizeof *link) < 0; left_ms--) {
        if (errno != EBUSY || left_ms == 0) return -1;
        poll(NULL, 0, 1);
    }
    return 0;
}

/* By a ring of an XDP socket, whose frames the kernel copies to the device, past its queues. */
static int transmit_xdp(const char *interface, const unsigned char *frame, size_t length) {
    enum { CHUNK = 4096, CHUNKS = 4 };
    int fd = socket(AF_XDP, SOCK_RAW, 0), entries = CHUNKS;
    if (fd < 0) return failed("socket");
    char *area = mmap(NULL, CHUNK * CHUNKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct xdp_umem_reg memory = {.addr = (uintptr_t)area, .len = CHUNK * CHUNKS, .chunk_size = CHUNK};
    if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &memory, sizeof memory) < 0) return failed("XDP_UMEM_REG");
    static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING};
    for (int at = 0; at < 3; at++)
        if (setsockopt(fd, SOL_XDP, rings[at], &entries, sizeof entries) < 0) return failed("a ring");
    struct xdp_mmap_offsets places;
    socklen_t size = sizeof places;
    if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &places, &size) < 0) return failed("XDP_MMAP_OFFSETS");
    char *ring = mmap(NULL, places.tx.desc + CHUNKS * sizeof(struct xdp_desc), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, fd, XDP_PGOFF_TX_RING);
    if (area == MAP_FAILED || ring == MAP_FAILED) return failed("mmap");
    struct sockaddr_xdp link = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY,
                                .sxdp_ifindex = if_nametoindex(interface)};
    if (bind_xdp(fd, &link) < 0) return failed("bind");
    memcpy(area, frame, length);
    *(struct xdp_desc *)(ring + places.tx.desc) = (struct xdp_desc){.len = length};
    __atomic_store_n((uint32_t *)(ring + places.tx.producer), 1, __ATOMIC_RELEASE);
    return sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? failed("sendto") : DONE;
}

static int mark(const char *interface) {
    unsigned char frame[42] = {0};
    memcpy(frame, EVERYBODY, 6);
    memcpy(frame + 6, LINK, 6);
    static const unsigned char request[10] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
    memcpy(frame + 12, request, sizeof request);
    memcpy(frame + 22, LINK, 6);
    memcpy(frame + 38, MARKED, 4);
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    return fd < 0 ? -1 : transmit(fd, interface, frame, sizeof frame);
}

static int send_frame(const char *act, const char *interface, const char *from, const char *to, unsigned port) {
    unsigned char frame[1024] = {0};
    int bypass = 0, xdp = 0;
    const char *way = act;
    if (strncmp(act, "bypass-", 7) == 0) bypass = 1, way = act + 7;
    if (strncmp(act, "xdp-", 4) == 0) xdp = 1, way = act + 4;
    memcpy(frame, EVERYBODY, 6);
    memcpy(frame + 6, LINK, 6);
    size_t at = 14, length = 0;
    put16(frame + 12, ETH_P_IP);
    if (!strcmp(way, "vlan") || !strcmp(way, "qinq") || !strcmp(way, "vlan-zero")) {
        put16(frame + 12, !strcmp(way, "qinq") ? ETH_P_8021AD : ETH_P_8021Q);
        put16(frame + 14, strcmp(way, "vlan-zero") ? 7 : 0);
        put16(frame + 16, ETH_P_IP);
        at = 18;
    }
    if (!strcmp(way, "udp6")) {
        router(frame);
        put16(frame + 12, ETH_P_IPV6);
        length = packet_v6(frame + at, from, to, port);
    } else if (!strcmp(way, "udp4") || !strcmp(way, "options") || at == 18) {
        router(frame);
        length = packet_v4(frame + at, from, to, port, !strcmp(way, "options"));
    } else {
        if (!strcmp(way, "experimental")) put16(frame + 12, 0x88b5);
        else if (!strcmp(way, "mpls")) put16(frame + 12, ETH_P_MPLS_UC);
        else if (!strcmp(way, "pppoe")) put16(frame + 12, ETH_P_PPP_SES);
        else if (!strcmp(way, "llc")) put16(frame + 12, 200);
        else if (!strcmp(way, "long-arp")) put16(frame + 12, ETH_P_ARP);
        else return USAGE;
        length = 200;
        memcpy(frame + at, PAYLOAD, sizeof PAYLOAD);
    }
    if (xdp) {
        int said = transmit_xdp(interface, frame, at + length);
        return said != DONE ? said : mark(interface) < 0 ? failed("mark") : DONE;
    }
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd < 0) return failed("socket");
    if (bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass) < 0) return failed("bypass");
    if (transmit(fd, interface, frame, at + length) < 0) return failed("sendto");
    return mark(interface) < 0 ? failed("mark") : DONE;
}

static int send_tun(const char *interface, const char *from, const char *to, unsigned port) {
    unsigned char packet[512];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    int fd = open("/dev/net/tun", O_RDWR);
    if (fd < 0) return failed("/dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &request) < 0) return failed("TUNSETIFF");
    size_t length = packet_v4(packet, from, to, port, 0);
    return write(fd, packet, length) < 0 ? failed("write") : DONE;
}

static int count(const char *interface) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex(interface)};
    if (fd < 0 || bind(fd, (void *)&link, sizeof link) < 0) return failed("socket");
    puts("ready");
    fflush(stdout);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long end = now.tv_sec * 1000 + WAIT_MS;
    for (int found = 0;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left = end - now.tv_sec * 1000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&wait, 1, left) == 0) return NO_MARK;
        unsigned char frame[2048];
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(fd, frame, sizeof frame, 0, (void *)&from, &size);
        if (got < 14 || from.sll_pkttype == PACKET_OUTGOING || memcmp(frame + 6, LINK, 6)) continue;
        if (got >= 42 && frame[12] == 8 && frame[13] == 6 && !memcmp(frame + 38, MARKED, 4)) {
            printf("%d\n", found);
            return DONE;
        }
        found++;
    }
}

int main(int words, char **word) {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(sched_getcpu(), &first);
    if (sched_setaffinity(0, sizeof first, &first) < 0) return failed("sched_setaffinity");
    if (words == 3 && !strcmp(word[1], "count")) return count(word[2]);
    if (words == 6 && !strcmp(word[1], "tun")) return send_tun(word[2], word[3], word[4], atoi(word[5]));
    if (words == 7 && !strcmp(word[1], "send")) return send_frame(word[2], word[3], word[4], word[5], atoi(word[6]));
    return USAGE;
}
