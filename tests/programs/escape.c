/* Tries to get out from under the enforcement, then sends:  escape ACT ADDRESS PORT
 *
 * Prints {"act":"cgroup-procs","attempt":"ok"|ERRNO|"nothing","tcp":"ok"|ERRNO,"udp":"ok"|ERRNO}; "attempt" is the
 * last error of the try, "nothing" where there was nothing to try it on. Exit code 0 when either send went out.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <mntent.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return -errno;
    int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* Writes our pid into the topmost cgroup.procs of every cgroup2 mount; with `remount`, makes it writable first. */
static int leave_cgroup(int remount) {
    int result = -ENOENT;
    FILE *table = setmntent("/proc/self/mounts", "r");
    for (struct mntent *entry; table && (entry = getmntent(table));) {
        if (strcmp(entry->mnt_type, "cgroup2")) continue;
        char path[4200];
        snprintf(path, sizeof path, "%s/cgroup.procs", entry->mnt_dir);
        if (remount && mount(NULL, entry->mnt_dir, NULL, MS_REMOUNT | MS_BIND, NULL) < 0) result = -errno;
        int moved = write_text(path, "0");
        if (moved == 0) return 0;
        if (!remount) result = moved;
    }
    return result;
}

static int mount_cgroup(int flags) {
    char folder[] = "/tmp/escape-XXXXXX", path[64];
    if (flags && unshare(flags) < 0) return -errno;
    if (!mkdtemp(folder)) return -errno;
    if (mount("none", folder, "cgroup2", 0, NULL) < 0) {
        int error = errno;
        rmdir(folder);
        return -error;
    }
    snprintf(path, sizeof path, "%s/cgroup.procs", folder);
    int result = write_text(path, "0");
    umount2(folder, MNT_DETACH);
    rmdir(folder);
    return result;
}

static int enter_init(void) {
    static const char *kinds[] = {"net", "cgroup", "mnt", "pid"};
    int result = -ENOENT;
    for (int at = 0; at < 4; at++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[at]);
        int fd = open(path, O_RDONLY);
        result = fd < 0 || setns(fd, 0) < 0 ? -errno : 0;
        if (fd >= 0) close(fd);
    }
    return result == 0 ? leave_cgroup(0) : result;
}

/* Reaches every BPF program and map by id, and takes whatever is attached to our cgroup off. */
static int reach_bpf(void) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    if (syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof attr) < 0) return -errno;
    for (unsigned int id = 0;;) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (syscall(SYS_bpf, BPF_LINK_GET_NEXT_ID, &attr, sizeof attr) < 0) break;
        id = attr.next_id;
        memset(&attr, 0, sizeof attr);
        attr.link_id = id;
        int fd = syscall(SYS_bpf, BPF_LINK_GET_FD_BY_ID, &attr, sizeof attr);
        if (fd < 0) return -errno;
        memset(&attr, 0, sizeof attr);
        attr.link_detach.link_fd = fd;
        /* Only in a test's own namespaces: without weir this act is never run. */
        if (syscall(SYS_bpf, BPF_LINK_DETACH, &attr, sizeof attr) < 0) return -errno;
    }
    return 0;
}

static int create_map(void) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_HASH;
    attr.key_size = attr.value_size = 4;
    attr.max_entries = 1;
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) < 0 ? -errno : 0;
}

static int remove_pins(void) {
    int result = -ENOENT;
    DIR *folder = opendir("/sys/fs/bpf/weir");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[400];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/sys/fs/bpf/weir/%s", entry->d_name);
        result = unlink(path) < 0 && rmdir(path) < 0 ? -errno : 0;
    }
    return result;
}

static const char *name_of(int result) {
    if (result == -ENOENT) return "nothing";
    return result < 0 ? strerrorname_np(-result) : "ok";
}

static int try(const char *act) {
    if (!strcmp(act, "none")) return 0;
    if (!strcmp(act, "cgroup-procs")) return leave_cgroup(0);
    if (!strcmp(act, "cgroup-remount")) return leave_cgroup(1);
    if (!strcmp(act, "cgroup-mount")) return mount_cgroup(0);
    if (!strcmp(act, "cgroup-userns")) return mount_cgroup(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP);
    if (!strcmp(act, "enter-init")) return enter_init();
    if (!strcmp(act, "packet-socket")) return socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) < 0 ? -errno : 0;
    if (!strcmp(act, "packet-userns"))
        return unshare(CLONE_NEWUSER) < 0 || socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) < 0 ? -errno : 0;
    if (!strcmp(act, "bpf-reach")) return reach_bpf();
    if (!strcmp(act, "bpf-map")) return create_map();
    if (!strcmp(act, "bpf-pins")) return remove_pins();
    if (!strcmp(act, "trace-parent")) return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? -errno : 0;
    if (!strcmp(act, "kill-init")) return kill(1, SIGKILL) < 0 ? -errno : 0;
    if (!strcmp(act, "setsid-fork")) {
        if (fork() > 0) {
            wait(NULL);
            _exit(0);
        }
        setsid();
        return 0;
    }
    return -EINVAL;
}

static int send_to(const char *address, const char *port, int type) {
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(port))};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&v6;
    socklen_t size = sizeof v6;
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) {
        memset(&v6, 0, sizeof v6);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(atoi(port));
        inet_pton(AF_INET, address, &v4->sin_addr);
        size = sizeof *v4;
    }
    int fd = socket(v6.sin6_family, type, 0);
    struct timeval bound = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    if (type == SOCK_STREAM && connect(fd, (void *)&v6, size) < 0) return -errno;
    return sendto(fd, "bytes\n", 6, 0, type == SOCK_STREAM ? NULL : (void *)&v6, type == SOCK_STREAM ? 0 : size) < 0
               ? -errno
               : 0;
}

int main(int count, char **words) {
    if (count != 4) return 2;
    int attempt = try(words[1]);
    int tcp = send_to(words[2], words[3], SOCK_STREAM);
    int udp = send_to(words[2], words[3], SOCK_DGRAM);
    printf("{\"act\":\"%s\",\"attempt\":\"%s\",", words[1], name_of(attempt));
    printf("\"tcp\":\"%s\",\"udp\":\"%s\"}\n", name_of(tcp), name_of(udp));
    return tcp != 0 && udp != 0;
}
