/* Hands a socket made outside to a process inside.
 *
 *   handover give PATH ADDRESS PORT   makes a TCP connection, then passes it to whoever connects to PATH
 *   handover take PATH                receives it and writes a line through it
 *   handover inherit ADDRESS PORT -- CMD…   connects as descriptor 9, then becomes CMD
 *   handover use                      writes a line to descriptor 9
 * Exit code 0 when the write (or the handing over) worked.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char LINE[] = "bytes through a socket made outside\n";

static int dial(const char *address, const char *port) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_pton(AF_INET, address, &peer.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (void *)&peer, sizeof peer) < 0 ? -1 : fd;
}

static int done(const char *what, int failed) {
    printf("%s: %s\n", what, failed ? strerrorname_np(errno) : "ok");
    return failed;
}

int main(int count, char **words) {
    if (count < 2) return 2;
    if (!strcmp(words[1], "use")) return done("use", write(9, LINE, sizeof LINE - 1) < 0);
    if (!strcmp(words[1], "inherit") && count > 5) {
        int fd = dial(words[2], words[3]);
        if (fd < 0 || dup2(fd, 9) < 0) return done("dial", 1);
        execvp(words[5], words + 5);
        return done("exec", 1);
    }
    if (count < 3) return 2;
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    strncpy(path.sun_path, words[2], sizeof path.sun_path - 1);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    char data = 'x', room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec bytes = {.iov_base = &data, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (!strcmp(words[1], "give") && count == 5) {
        int fd = dial(words[3], words[4]);
        if (fd < 0) return done("dial", 1);
        if (bind(local, (void *)&path, sizeof path) < 0 || listen(local, 1) < 0) return done("listen", 1);
        printf("listening\n");
        fflush(stdout);
        int peer = accept(local, NULL, NULL);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
        return done("give", sendmsg(peer, &message, 0) < 0);
    }
    if (connect(local, (void *)&path, sizeof path) < 0) return done("connect", 1);
    if (recvmsg(local, &message, 0) < 0) return done("receive", 1);
    int fd = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header) memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return done("take", write(fd, LINE, sizeof LINE - 1) < 0);
}
