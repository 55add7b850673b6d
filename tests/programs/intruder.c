/* What a job tries beside sending. One act each run; prints "ok", a number, or the name of the error:
 *
 *   intruder socket FAMILY TYPE     makes a socket
 *   intruder maps|programs|links    gets descriptors of all of the machine's by their ids: how many
 *   intruder pin PATH               opens what is pinned
 *   intruder load TYPE              loads a program of a type (a number) that does nothing
 *   intruder devices CGROUP         loads a device filter, attaches it to a cgroup, asks for it, detaches it
 *   intruder trial CGROUP           loads a program that sees packets, attaches it to nothing and to a cgroup, and gets
 *                                   another such program by its id: four words
 *   intruder leave CGROUP           moves to a cgroup, then makes an inet socket: two words
 *   intruder clone CGROUP           starts a child in a cgroup, which makes an inet socket: two words
 *   intruder read HOW FILE          reads a file: open, map, ring (io_uring)
 *   intruder reads COUNT FILE       opens and reads a file so many times
 *   intruder exchange ONE OTHER     each file or folder gets the other's name
 *   intruder folders COUNT NAME     makes a folder of that name and gives it another, so many times
 *   intruder family DEPTH           forks that deep, each parent ending first, and connects from the last
 *   intruder threads                connects from a second thread
 *   intruder swarm COUNT RATE       starts so many children one after the other, so many a second, each of which connects
 *   intruder child NAME [PID]       a child of that name, which connects; on the node it has that id, or any
 *   intruder heir                   makes a socket, by which a child sends
 *   intruder handover               makes a socket and hands it to a child that was there before, which sends by it
 *   intruder brood COUNT            starts so many children, which stay: how many came of it, and why no more
 *   intruder crowd PARENTS CHILDREN  starts so many that each start so many, all at once, and all stay: how many they are
 *   intruder unwaited COUNT         starts so many children, which end, and whose parent stays and does not wait for them
 *   intruder guests COUNT PROCS     starts so many on the node, which move to the cgroup of that file, and each make a vsock
 *                                   and stay: how many could and how many could not; ends them at the end of its input
 *   intruder rush COUNT FIRST       starts so many children, which all execute the next at once, numbered from FIRST on
 *   intruder runner NUMBER          connects, by this name
 *
 * Exit code: 0 done, whatever came of it; 2 usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *result(long value) { return value < 0 ? strerrorname_np(errno) : "ok"; }

static long bpf(int command, union bpf_attr *attr) {
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

static int inet(void) { return socket(AF_INET, SOCK_STREAM, 0); }

/* The sentinel's network: refused wherever weir is, and nobody answers where it is not. */
static const char *connects(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(4433)};
    inet_pton(AF_INET, "198.51.100.77", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) return strerrorname_np(errno);
    const char *said = result(connect(fd, (struct sockaddr *)&to, sizeof to));
    close(fd);
    return said;
}

static void descriptors(int next, int by_id) {
    unsigned count = 0;
    union bpf_attr attr = {0};
    for (unsigned id = 0;;) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (bpf(next, &attr) < 0) {
            if (errno == ENOENT) break;
            puts(strerrorname_np(errno));
            return;
        }
        id = attr.next_id;
        memset(&attr, 0, sizeof attr);
        attr.map_id = id;
        long fd = bpf(by_id, &attr);
        if (fd < 0) {
            puts(strerrorname_np(errno));
            return;
        }
        close((int)fd);
        count++;
    }
    printf("%u\n", count);
}

static long load(unsigned type) {
    /* r0 = 1; exit */
    static const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    /* Before Linux 5.11 what is loaded counts as locked memory. */
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &all);
    union bpf_attr attr = {0};
    attr.prog_type = type;
    attr.insns = (uintptr_t)code;
    attr.insn_cnt = 2;
    attr.license = (uintptr_t) "GPL";
    return bpf(BPF_PROG_LOAD, &attr);
}

static const char *devices(const char *cgroup) {
    int folder = open(cgroup, O_RDONLY | O_DIRECTORY);
    long program = load(BPF_PROG_TYPE_CGROUP_DEVICE);
    if (folder < 0 || program < 0) return strerrorname_np(errno);
    union bpf_attr attr = {0};
    attr.target_fd = (unsigned)folder;
    attr.attach_bpf_fd = (unsigned)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, &attr) < 0) return strerrorname_np(errno);
    unsigned ids[8];
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (unsigned)folder;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uintptr_t)ids;
    attr.query.prog_cnt = 8;
    if (bpf(BPF_PROG_QUERY, &attr) < 0 || attr.query.prog_cnt < 1) return "none";
    unsigned id = ids[attr.query.prog_cnt - 1];
    memset(&attr, 0, sizeof attr);
    attr.prog_id = id;
    if (bpf(BPF_PROG_GET_FD_BY_ID, &attr) < 0) return strerrorname_np(errno);
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (unsigned)folder;
    attr.attach_bpf_fd = (unsigned)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    return result(bpf(BPF_PROG_DETACH, &attr));
}

/* By their ids, as many as a node has ever had: what a program of this type that another has loaded says of it. */
static const char *others(unsigned type) {
    const char *said = "none";
    for (unsigned id = 1; id < 4096; id++) {
        union bpf_attr attr = {0};
        attr.prog_id = id;
        long fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
        if (fd < 0) {
            if (errno == EPERM) said = "EPERM";
            continue;
        }
        struct bpf_prog_info info = {0};
        memset(&attr, 0, sizeof attr);
        attr.info.bpf_fd = (unsigned)fd;
        attr.info.info_len = sizeof info;
        attr.info.info = (uintptr_t)&info;
        bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
        close((int)fd);
        if (info.type == type) return "ok";
    }
    return said;
}

/* What runc does to learn what the kernel can do, and what a program for it could be good for. */
static void trial(const char *cgroup) {
    int folder = open(cgroup, O_RDONLY | O_DIRECTORY);
    long program = load(BPF_PROG_TYPE_CGROUP_SKB);
    printf("%s ", result(program));
    union bpf_attr attr = {0};
    attr.target_fd = UINT_MAX;
    attr.attach_bpf_fd = (unsigned)program;
    attr.attach_type = BPF_CGROUP_INET_INGRESS;
    attr.attach_flags = BPF_F_REPLACE;
    printf("%s ", result(bpf(BPF_PROG_ATTACH, &attr)));
    attr.target_fd = (unsigned)folder;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    printf("%s ", result(bpf(BPF_PROG_ATTACH, &attr)));
    puts(others(BPF_PROG_TYPE_CGROUP_SKB));
}

static void leave(const char *cgroup) {
    char path[4096];
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY);
    const char *moved = fd < 0 ? strerrorname_np(errno) : result(write(fd, "0", 1));
    printf("%s ", moved);
    puts(result(inet()));
}

static void clone_into(const char *cgroup) {
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    args.cgroup = (unsigned)open(cgroup, O_RDONLY | O_DIRECTORY);
    fflush(stdout);
    long child = syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) {
        printf("ok %s\n", result(inet()));
        fflush(stdout);
        _exit(0);
    }
    if (child < 0) printf("%s -\n", strerrorname_np(errno));
    else waitpid((pid_t)child, NULL, 0);
}

static long ring_open(const char *path) {
    struct io_uring_params params = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 2, &params);
    if (ring < 0) return -1;
    size_t length = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t answers = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    char *sq = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(NULL, answers, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *sqe = mmap(NULL, 2 * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                                    IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED) return -1;
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_OPENAT;
    sqe->fd = AT_FDCWD;
    sqe->addr = (uintptr_t)path;
    sqe->open_flags = O_RDONLY;
    /* By a thread of the kernel's that belongs to this process. */
    sqe->flags = IOSQE_ASYNC;
    *(unsigned *)(sq + params.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
    struct io_uring_cqe *answer = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
    if (answer->res < 0) errno = -answer->res;
    return answer->res < 0 ? -1 : answer->res;
}

static const char *read_file(const char *how, const char *path) {
    char text[64];
    long fd = strcmp(how, "ring") == 0 ? ring_open(path) : open(path, O_RDONLY);
    if (fd < 0) return strerrorname_np(errno);
    if (strcmp(how, "map") == 0) {
        char *mapped = mmap(NULL, 16, PROT_READ, MAP_PRIVATE, (int)fd, 0);
        if (mapped == MAP_FAILED) return strerrorname_np(errno);
        volatile char first = *mapped;
        (void)first;
        return "ok";
    }
    return result(read((int)fd, text, sizeof text));
}

static void named(const char *name, int depth) {
    char text[16];
    snprintf(text, sizeof text, "%s%d", name, depth);
    prctl(PR_SET_NAME, text);
}

/* Each process waits until its parent is gone: it has another one by then. */
static void family(int depth) {
    for (int at = 1; at <= depth; at++) {
        int gone[2];
        if (pipe(gone) < 0) return;
        fflush(stdout);
        pid_t child = fork();
        if (child != 0) {
            if (at == 1) {
                /* The one that is waited for outlives them all: they hold its standard output. */
                close(gone[0]);
                close(gone[1]);
                return;
            }
            _exit(0);
        }
        named("kin", at);
        close(gone[1]);
        char nothing;
        if (at > 1) (void)!read(gone[0], &nothing, 1);
        close(gone[0]);
    }
    puts(connects());
}

static void *connect_in_thread(void *unused) {
    (void)unused;
    named("worker", 1);
    puts(connects());
    return NULL;
}

static void swarm(int count, int rate) {
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int at = 0; at < count; at++) {
        pid_t child = fork();
        if (child == 0) {
            named("bee", at);
            connects();
            _exit(0);
        }
        waitpid(child, NULL, 0);
        next.tv_nsec += 1000000000 / rate;
        if (next.tv_nsec >= 1000000000) next.tv_sec++, next.tv_nsec -= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    puts("ok");
}

static void child_with(const char *name, pid_t id) {
    struct clone_args args = {.exit_signal = SIGCHLD};
    /* In the container's own namespace, where it matters to nobody, and in the node's. */
    pid_t ids[2] = {30000, id};
    if (id) args.set_tid = (uintptr_t)ids, args.set_tid_size = 2;
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) {
        named(name, 0);
        puts(connects());
        fflush(stdout);
        _exit(0);
    }
    if (child < 0) printf("clone3: %s\n", strerrorname_np(errno));
    else waitpid(child, NULL, 0);
}

static const char *sends(int fd) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(4434)};
    inet_pton(AF_INET, "198.51.100.77", &to.sin_addr);
    return result(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
}

static void heir(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    pid_t child = fork();
    if (child == 0) {
        named("heir", 0);
        puts(sends(fd));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void handover(void) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0) return;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } rights = {0};
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = &rights;
    message.msg_controllen = sizeof rights;
    pid_t child = fork();
    if (child == 0) {
        named("taker", 0);
        int fd = -1;
        if (recvmsg(ends[1], &message, 0) == 1) memcpy(&fd, CMSG_DATA(&rights.head), sizeof fd);
        puts(fd < 0 ? "none" : sends(fd));
        fflush(stdout);
        _exit(0);
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    rights.head.cmsg_len = CMSG_LEN(sizeof fd);
    rights.head.cmsg_level = SOL_SOCKET;
    rights.head.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&rights.head), &fd, sizeof fd);
    if (sendmsg(ends[0], &message, 0) < 0) puts(strerrorname_np(errno));
    waitpid(child, NULL, 0);
}

/* They hold nothing that somebody waits for, and end with their container, or when they are killed. */
static void brood(int count) {
    int born = 0;
    const char *said = "ok";
    for (; born < count; born++) {
        pid_t child = fork();
        if (child == 0) {
            named("chick", born);
            for (int fd = 0; fd < 3; fd++) close(fd);
            for (;;) pause();
        }
        if (child < 0) {
            said = strerrorname_np(errno);
            break;
        }
    }
    printf("%d %s\n", born, said);
}

/* All at once, so that one is preempted while it starts another. They stay, as a brood does. */
static void crowd(int parents, int children) {
    int report[2], all = 0;
    if (pipe(report) < 0) return;
    for (int parent = 0; parent < parents; parent++) {
        if (fork() != 0) continue;
        int born = 1;
        for (int child = 0; child < children; child++) {
            pid_t pid = fork();
            if (pid > 0) born++;
            if (pid != 0) continue;
            close(report[1]);
            for (int fd = 0; fd < 3; fd++) close(fd);
            for (;;) pause();
        }
        if (write(report[1], &born, sizeof born) < 0) _exit(1);
        close(report[1]);
        for (int fd = 0; fd < 3; fd++) close(fd);
        for (;;) pause();
    }
    close(report[1]);
    for (int born; read(report[0], &born, sizeof born) == sizeof born;) all += born;
    printf("%d\n", all);
}

static void guests(int count, const char *procs) {
    int report[2], end[2], could = 0;
    char answer;
    if (pipe(report) < 0 || pipe(end) < 0) return;
    /* Loads the module, which all of them would at once. */
    close(socket(AF_VSOCK, SOCK_STREAM, 0));
    for (int at = 0; at < count; at++) {
        if (fork() != 0) continue;
        int fd = open(procs, O_WRONLY);
        if (fd < 0 || write(fd, "0", 1) != 1) _exit(1);
        answer = socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 || errno != EPERM;
        if (write(report[1], &answer, 1) < 0) _exit(1);
        close(end[1]);
        _exit(read(end[0], &answer, 1) != 0);
    }
    close(report[1]);
    int answers = 0;
    for (; answers < count && read(report[0], &answer, 1) == 1; answers++) could += answer;
    printf("%d %d\n", could, answers - could);
    fflush(stdout);
    while (read(0, &answer, 1) > 0) continue;
    close(end[1]);
    while (wait(NULL) > 0) continue;
}

static void unwaited(int count) {
    int report[2];
    char ended = 0;
    if (pipe(report) < 0) return;
    if (fork() == 0) {
        for (int at = 0; at < count; at++) {
            pid_t child = fork();
            if (child == 0) _exit(0);
            siginfo_t about;
            if (child < 0 || waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT) < 0) _exit(1);
        }
        if (write(report[1], &ended, 1) < 0) _exit(1);
        close(report[1]);
        for (int fd = 0; fd < 3; fd++) close(fd);
        for (;;) pause();
    }
    close(report[1]);
    puts(read(report[0], &ended, 1) == 1 ? "ok" : "failed");
}

/* All at once, so that one is preempted while it executes another program. */
static void rush(int count, int first) {
    int start[2];
    char none;
    if (pipe2(start, O_CLOEXEC) < 0) return;
    for (int at = 0; at < count; at++) {
        if (fork() != 0) continue;
        char number[16];
        snprintf(number, sizeof number, "%d", first + at);
        close(start[1]);
        if (read(start[0], &none, 1) == 0) execl("/bin/intruder", "/bin/intruder", "runner", number, NULL);
        _exit(1);
    }
    close(start[1]);
    int failed = 0;
    for (int status; wait(&status) > 0;) failed += status != 0;
    puts(failed ? "some failed" : "ok");
}

static const char *rename_folders(int count, const char *name) {
    for (int at = 0; at < count; at++) {
        char other[64];
        snprintf(other, sizeof other, "folder%d.%d", getpid(), at);
        if (mkdir(name, 0700) < 0 || rename(name, other) < 0) return strerrorname_np(errno);
    }
    return "ok";
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *act = argv[1], *what = argc > 2 ? argv[2] : "0", *last = argc > 3 ? argv[3] : "";
    if (strcmp(act, "socket") == 0) puts(result(socket(atoi(what), atoi(last), 0)));
    else if (strcmp(act, "maps") == 0) descriptors(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID);
    else if (strcmp(act, "programs") == 0) descriptors(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID);
    else if (strcmp(act, "links") == 0) descriptors(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID);
    else if (strcmp(act, "pin") == 0) {
        union bpf_attr attr = {0};
        attr.pathname = (uintptr_t)what;
        puts(result(bpf(BPF_OBJ_GET, &attr)));
    } else if (strcmp(act, "load") == 0) puts(result(load((unsigned)atoi(what))));
    else if (strcmp(act, "devices") == 0) puts(devices(what));
    else if (strcmp(act, "trial") == 0) trial(what);
    else if (strcmp(act, "leave") == 0) leave(what);
    else if (strcmp(act, "clone") == 0) clone_into(what);
    else if (strcmp(act, "read") == 0) puts(read_file(what, last));
    else if (strcmp(act, "reads") == 0) {
        const char *said = "ok";
        for (int at = 0; at < atoi(what); at++) {
            int fd = open(last, O_RDONLY);
            char text[64];
            said = fd < 0 ? strerrorname_np(errno) : result(read(fd, text, sizeof text));
            if (fd >= 0) close(fd);
        }
        puts(said);
    } else if (strcmp(act, "exchange") == 0) puts(result(renameat2(AT_FDCWD, what, AT_FDCWD, last, RENAME_EXCHANGE)));
    else if (strcmp(act, "folders") == 0) puts(rename_folders(atoi(what), last));
    else if (strcmp(act, "family") == 0) family(atoi(what));
    else if (strcmp(act, "threads") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, connect_in_thread, NULL) == 0) pthread_join(thread, NULL);
    } else if (strcmp(act, "swarm") == 0) swarm(atoi(what), atoi(last));
    else if (strcmp(act, "child") == 0) child_with(what, atoi(last));
    else if (strcmp(act, "heir") == 0) heir();
    else if (strcmp(act, "handover") == 0) handover();
    else if (strcmp(act, "brood") == 0) brood(atoi(what));
    else if (strcmp(act, "crowd") == 0) crowd(atoi(what), atoi(last));
    else if (strcmp(act, "unwaited") == 0) unwaited(atoi(what));
    else if (strcmp(act, "guests") == 0) guests(atoi(what), last);
    else if (strcmp(act, "rush") == 0) rush(atoi(what), atoi(last));
    else if (strcmp(act, "runner") == 0) named("runner", atoi(what)), connects();
    else return 2;
    return 0;
}
