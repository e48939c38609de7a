/* Preloaded into the real binary: writes down, in one order, everything that it does to files below RECORD_DIR, and
 * what it says on stderr. From that record, tests/power.rs makes what a power cut would have left.
 *
 * RECORD_TO   the record, which is appended to
 *
 * An entry: kind (1 byte), inode, offset, length of the path, length of the data (8 bytes each), path, data.
 *   c  a file was made             d  a directory was made      w  bytes were written at an offset
 *   t  a file was cut to a length  s  a file or a directory was synced
 *   r  path was renamed to data    u  path was removed          !  data was said
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* What is done and what is written down are one step: the record has the order in which things were done. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int path_is_ours(const char *path) {
    const char *dir = getenv("RECORD_DIR");
    if (!dir || !path || strncmp(path, dir, strlen(dir))) return 0;
    /* The index of the log is shared memory, and what is compiled can be compiled again. */
    return !strstr(path, "-shm") && !strstr(path, "/compiled");
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path_is_ours(path);
}

static void put(const void *bytes, size_t length) {
    REAL(write);
    while (length > 0) {
        ssize_t done = real(record, bytes, length);
        if (done <= 0) abort();
        bytes = (const char *)bytes + done;
        length -= done;
    }
}

static void note(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, uint64_t length) {
    int kept = errno;
    if (record < 0) {
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        record = real(getenv("RECORD_TO"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
        if (record < 0) abort();
    }
    uint64_t head[4] = { inode, offset, path ? strlen(path) : 0, length };
    put(&kind, 1);
    put(head, sizeof head);
    if (path) put(path, head[2]);
    put(data, length);
    errno = kept;
}

static uint64_t inode_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_ino;
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    if (!path_is_ours(path) || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, mode);
    pthread_mutex_lock(&order);
    int was_there = !access(path, F_OK);
    int fd = real(path, flags, mode);
    if (fd >= 0 && !was_there) note('c', inode_of(fd), 0, path, "", 0);
    if (fd >= 0 && was_there && (flags & O_TRUNC)) note('t', inode_of(fd), 0, path, "", 0);
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN(name)                                         \
    int name(const char *path, int flags, ...) {           \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                      \
        return opened(#name, path, flags, mode);           \
    }
OPEN(open)
OPEN(open64)

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    REAL(pwrite64);
    char path[4096];
    if (!path_of(fd, path, sizeof path)) return real(fd, bytes, length, at);
    pthread_mutex_lock(&order);
    ssize_t done = real(fd, bytes, length, at);
    if (done > 0) note('w', inode_of(fd), at, path, bytes, done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    char path[4096];
    int ours = path_of(fd, path, sizeof path);
    if (!ours && (fd != 2 || !getenv("RECORD_DIR"))) return real(fd, bytes, length);
    pthread_mutex_lock(&order);
    ssize_t done = real(fd, bytes, length);
    if (done > 0 && !ours) note('!', 0, 0, NULL, bytes, done);
    if (done > 0 && ours) note('w', inode_of(fd), lseek(fd, 0, SEEK_CUR) - done, path, bytes, done);
    pthread_mutex_unlock(&order);
    return done;
}

static int synced(const char *name, int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    char path[4096];
    if (!path_of(fd, path, sizeof path)) return real(fd);
    pthread_mutex_lock(&order);
    int failed = real(fd);
    if (!failed) note('s', inode_of(fd), 0, path, "", 0);
    pthread_mutex_unlock(&order);
    return failed;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    char path[4096];
    if (!path_of(fd, path, sizeof path)) return real(fd, length);
    pthread_mutex_lock(&order);
    int failed = real(fd, length);
    if (!failed) note('t', inode_of(fd), length, path, "", 0);
    pthread_mutex_unlock(&order);
    return failed;
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (!path_is_ours(path)) return real(path, mode);
    pthread_mutex_lock(&order);
    int failed = real(path, mode);
    if (!failed) note('d', 0, 0, path, "", 0);
    pthread_mutex_unlock(&order);
    return failed;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (!path_is_ours(from)) return real(from, to);
    pthread_mutex_lock(&order);
    int failed = real(from, to);
    if (!failed) note('r', 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&order);
    return failed;
}

int unlink(const char *path) {
    REAL(unlink);
    if (!path_is_ours(path)) return real(path);
    pthread_mutex_lock(&order);
    int failed = real(path);
    if (!failed) note('u', 0, 0, path, "", 0);
    pthread_mutex_unlock(&order);
    return failed;
}

/* What the store does not use, and what would have to be written down if it did. */
#define NEVER(type, name, arguments)                                           \
    type name arguments {                                                      \
        static const char text[] = "record.c: " #name " is not recorded\n";    \
        if (path_of(fd, (char[4096]){0}, 4096)) { fputs(text, stderr); abort(); } \
        errno = ENOSYS;                                                        \
        return -1;                                                             \
    }
NEVER(int, posix_fallocate64, (int fd, off64_t from, off64_t length))
NEVER(int, fallocate64, (int fd, int mode, off64_t from, off64_t length))
