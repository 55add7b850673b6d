/* A load balancer that works at connect time, as Cilium and its kin do:  balancer CGROUP SERVICE BACKEND
 *
 * Attaches a connect4 program to CGROUP that turns the address SERVICE into BACKEND, prints "attached", and
 * stays until it is killed; its link, held by descriptor alone, goes with it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADDRESS offsetof(struct bpf_sock_addr, user_ip4)

int main(int count, char **words) {
    // Linux before 5.11 counts the programs of all of a user's processes as locked memory, weir's too.
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
    uint32_t service, backend;
    if (count != 4 || inet_pton(AF_INET, words[2], &service) != 1 || inet_pton(AF_INET, words[3], &backend) != 1)
        return 2;
    struct bpf_insn program[] = {
        /* r2 = ctx->user_ip4; if ((u32)r2 != service) goto end; */
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = ADDRESS},
        {.code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = 2, .off = 2, .imm = (int32_t)service},
        /* ctx->user_ip4 = backend; */
        {.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = 2, .imm = (int32_t)backend},
        {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 2, .off = ADDRESS},
        /* end: return 1; */
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    static char log[4096];
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    attr.expected_attach_type = BPF_CGROUP_INET4_CONNECT;
    attr.insns = (uintptr_t)program;
    attr.insn_cnt = sizeof program / sizeof *program;
    attr.license = (uintptr_t) "Dual MIT/GPL";
    attr.log_buf = (uintptr_t)log;
    attr.log_size = sizeof log;
    attr.log_level = 1;
    int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (loaded < 0) return fprintf(stderr, "load: %s\n%s", strerror(errno), log), 1;
    int cgroup = open(words[1], O_RDONLY | O_DIRECTORY);
    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = loaded;
    attr.link_create.target_fd = cgroup;
    attr.link_create.attach_type = BPF_CGROUP_INET4_CONNECT;
    if (cgroup < 0 || syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr) < 0)
        return fprintf(stderr, "attach to %s: %s\n", words[1], strerror(errno)), 1;
    printf("attached\n");
    fflush(stdout);
    pause();
    return 0;
}
