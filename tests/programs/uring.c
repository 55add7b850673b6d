/* Connects and sends by io_uring submissions alone:  uring tcp|udp|tcp-polled ADDRESS PORT
 *
 * "polled" lets a kernel thread submit (IORING_SETUP_SQPOLL), so that no system call of this process is the
 * connect. Raw system calls: no library to trust. Prints {"act":"tcp","result":"ok"|ERRNO,"ms":0.5}.
 * Exit code: 0 sent, 1 refused, 2 usage, 3 io_uring cannot be had here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct io_uring_params setup;
static int ring;
static unsigned char *sq, *cq;
static struct io_uring_sqe *entries;

static int open_ring(unsigned int flags) {
    setup.flags = flags;
    setup.sq_thread_idle = 2000;
    ring = syscall(SYS_io_uring_setup, 4, &setup);
    if (ring < 0) return -1;
    size_t sq_size = setup.sq_off.array + setup.sq_entries * sizeof(unsigned int);
    size_t cq_size = setup.cq_off.cqes + setup.cq_entries * sizeof(struct io_uring_cqe);
    int rights = PROT_READ | PROT_WRITE;
    sq = mmap(NULL, sq_size, rights, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    cq = mmap(NULL, cq_size, rights, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
    entries = mmap(NULL, setup.sq_entries * sizeof *entries, rights, MAP_SHARED | MAP_POPULATE, ring,
                   IORING_OFF_SQES);
    return sq == MAP_FAILED || cq == MAP_FAILED || entries == MAP_FAILED ? -1 : 0;
}

/* Submits one entry and returns its result: >= 0, or a negative errno. */
static int submit(const struct io_uring_sqe *entry) {
    unsigned int *tail = (unsigned int *)(sq + setup.sq_off.tail);
    unsigned int mask = *(unsigned int *)(sq + setup.sq_off.ring_mask);
    unsigned int *array = (unsigned int *)(sq + setup.sq_off.array);
    unsigned int slot = *tail & mask;
    entries[slot] = *entry;
    array[slot] = slot;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_SEQ_CST);
    unsigned int flags = IORING_ENTER_GETEVENTS;
    unsigned int *state = (unsigned int *)(sq + setup.sq_off.flags);
    if (__atomic_load_n(state, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP) flags |= IORING_ENTER_SQ_WAKEUP;
    unsigned int fresh = setup.flags & IORING_SETUP_SQPOLL ? 0 : 1;
    if (syscall(SYS_io_uring_enter, ring, fresh, 1, flags, NULL, 0) < 0) return -errno;
    unsigned int *head = (unsigned int *)(cq + setup.cq_off.head);
    unsigned int cq_mask = *(unsigned int *)(cq + setup.cq_off.ring_mask);
    struct io_uring_cqe *done = (struct io_uring_cqe *)(cq + setup.cq_off.cqes) + (*head & cq_mask);
    int result = done->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_SEQ_CST);
    return result;
}

int main(int count, char **words) {
    static const char payload[] = "bytes that must not get out\n";
    struct sockaddr_in6 v6 = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&v6;
    if (count != 4) return 2;
    socklen_t size = sizeof v6;
    if (inet_pton(AF_INET, words[2], &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        size = sizeof *v4;
    } else if (inet_pton(AF_INET6, words[2], &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
    } else {
        return 2;
    }
    v6.sin6_port = htons(atoi(words[3]));
    int udp = !strcmp(words[1], "udp");
    if (open_ring(strcmp(words[1], "tcp-polled") ? 0 : IORING_SETUP_SQPOLL) < 0) {
        printf("{\"act\":\"%s\",\"result\":\"%s\",\"ms\":0}\n", words[1], strerrorname_np(errno));
        return 3;
    }
    int fd = socket(v6.sin6_family, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int result = 0;
    if (udp) {
        struct iovec bytes = {.iov_base = (char *)payload, .iov_len = sizeof payload - 1};
        struct msghdr message = {.msg_name = &v6, .msg_namelen = size, .msg_iov = &bytes, .msg_iovlen = 1};
        struct io_uring_sqe entry = {.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (unsigned long)&message, .len = 1};
        result = submit(&entry);
    } else {
        struct io_uring_sqe entry = {.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (unsigned long)&v6, .off = size};
        result = submit(&entry);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (result >= 0 && !udp) {
        struct io_uring_sqe entry = {
            .opcode = IORING_OP_SEND, .fd = fd, .addr = (unsigned long)payload, .len = sizeof payload - 1};
        result = submit(&entry);
    }
    if (result >= 0) {
        char reply[256];
        struct timeval bound = {.tv_usec = 500000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
        if (recv(fd, reply, sizeof reply, 0) < 0) errno = 0;
    }
    double ms = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
    printf("{\"act\":\"%s\",\"result\":\"%s\",\"ms\":%.3f}\n", words[1], result < 0 ? strerrorname_np(-result) : "ok",
           ms);
    return result < 0;
}
