/* Preloaded into the real binary: makes the n-th durable call below FAULT_DIR go wrong: a write, a
 * sync, a truncation, a renaming, a removal, a new directory.
 *
 * FAULT_AT    which call, from 1; 0 counts only
 * FAULT_KIND  kill-before, kill-after: the process dies before or after the call
 *             eio, enospc: the call fails; short: half of a write is made
 * FAULT_COUNT a file to which the number of calls is written, after each
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum fate { FINE, KILL_BEFORE, KILL_AFTER, FAIL_IO, FAIL_FULL, SHORT };

static atomic_long calls;

static int is_ours_by_path(const char *path) {
    const char *dir = getenv("FAULT_DIR");
    if (!dir) return 0;
    /* The index of the log is shared memory, and what is compiled can be compiled again. */
    if (strstr(path, "-shm") || strstr(path, "/compiled")) return 0;
    return strncmp(path, dir, strlen(dir)) == 0;
}

static int is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours_by_path(path);
}

static enum fate next(void) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND"), *count = getenv("FAULT_COUNT");
    if (count) {
        int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
        int fd = real_open(count, O_CREAT | O_WRONLY | O_TRUNC, 0600);
        if (fd >= 0) {
            char text[32];
            int length = snprintf(text, sizeof text, "%ld", now);
            if (real_write(fd, text, length) < 0) abort();
            close(fd);
        }
    }
    if (!at || !kind || atol(at) != now) return FINE;
    if (!strcmp(kind, "kill-before")) return KILL_BEFORE;
    if (!strcmp(kind, "kill-after")) return KILL_AFTER;
    if (!strcmp(kind, "eio")) return FAIL_IO;
    if (!strcmp(kind, "enospc")) return FAIL_FULL;
    if (!strcmp(kind, "short")) return SHORT;
    abort();
}

/* Makes a call with its fate; `half` is what is made of a write that is cut short. */
#define CALL(type, real, half) CALL_OF(is_ours(fd), type, real, half)
#define CALL_OF(ours, type, real, half)                             \
    enum fate fate = (ours) ? next() : FINE;                        \
    if (fate == KILL_BEFORE) raise(SIGKILL);                        \
    if (fate == FAIL_IO) { errno = EIO; return -1; }                \
    if (fate == FAIL_FULL) { errno = ENOSPC; return -1; }           \
    type done = fate == SHORT ? (half) : (real);                    \
    if (fate == KILL_AFTER) raise(SIGKILL);                         \
    return done;

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    REAL(pwrite64);
    CALL(ssize_t, real(fd, bytes, length, at), real(fd, bytes, length / 2, at))
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    CALL(ssize_t, real(fd, bytes, length), real(fd, bytes, length > 1 ? length / 2 : length))
}

int fdatasync(int fd) {
    REAL(fdatasync);
    CALL(int, real(fd), real(fd))
}

int fsync(int fd) {
    REAL(fsync);
    CALL(int, real(fd), real(fd))
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    CALL(int, real(fd, length), real(fd, length))
}

int rename(const char *from, const char *to) {
    REAL(rename);
    CALL_OF(is_ours_by_path(from), int, real(from, to), real(from, to))
}

int unlink(const char *path) {
    REAL(unlink);
    CALL_OF(is_ours_by_path(path), int, real(path), real(path))
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    CALL_OF(is_ours_by_path(path), int, real(path, mode), real(path, mode))
}
