/* Errors at file calls: loaded before the C library (LD_PRELOAD), it counts the calls of a process on files below a folder and lets one fail.
 *
 * LACUNA_INJECT_FOLDER  calls on what lies in it are counted, by path or by what a descriptor was opened as
 * LACUNA_INJECT_AT      the call that fails, from 1; 0 is none
 * LACUNA_INJECT_HOW     EIO: that call alone. ENOSPC: from it on all that need room, as on a full disk.
 *                       short: as ENOSPC, but a write comes half way first
 * LACUNA_INJECT_LOG     every counted call as a line: number, name with a + where it needs room, path; one that fails ends in "!"
 *
 * Child processes are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static long at;
static int disk_fills, halves, report = -1;
static atomic_long calls;
static atomic_int full;

__attribute__((constructor)) static void begin(void) {
    const char *how = getenv("LACUNA_INJECT_HOW"), *number = getenv("LACUNA_INJECT_AT"), *log = getenv("LACUNA_INJECT_LOG");
    folder = getenv("LACUNA_INJECT_FOLDER");
    at = number ? atol(number) : 0;
    halves = how && !strcmp(how, "short");
    disk_fills = halves || (how && !strcmp(how, "ENOSPC"));
    if (log) report = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    unsetenv("LD_PRELOAD");
}

static int inside(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* The path of a descriptor, in `buffer`; an empty one where it has none. */
static const char *of(int fd, char *buffer) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

/* What is at `path`, which may count from the folder of a descriptor. */
static const char *from(int fd, const char *path, char *buffer) {
    if (*path == '/' || fd == AT_FDCWD) return path;
    size_t length = strlen(of(fd, buffer));
    snprintf(buffer + length, PATH_MAX - length, "/%s", path);
    return buffer;
}

enum { ALWAYS, ROOM };

/* Counts a call. 0: it is made; otherwise the error with which it fails, or -1: it is to come half way. */
static int fate(const char *name, const char *path, int needs) {
    if (!inside(path)) return 0;
    int before = errno, error = 0;
    long number = ++calls;
    if (disk_fills) {
        int first = number == at;
        if (first) full = 1;
        if (full && needs == ROOM) error = first && halves && strstr(name, "write") ? -1 : ENOSPC;
    } else if (number == at) {
        error = EIO;
    }
    if (report >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s%s %s%s\n", number, name, needs == ROOM ? "+" : "", path,
                              error ? " !" : "");
        syscall(SYS_write, report, line, (size_t)length);
    }
    errno = before;
    return error;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(error) do { errno = (error); return -1; } while (0)
/* A call that fails or is made. */
#define CALL(name, path, needs, ...)                       \
    do {                                                   \
        char buffer[PATH_MAX + 1];                         \
        (void)buffer;                                      \
        int error = fate(#name, path, needs);              \
        if (error) FAIL(error < 0 ? ENOSPC : error);       \
        return REAL(name)(__VA_ARGS__);                    \
    } while (0)

#define MODE(flags)                                        \
    mode_t mode = 0;                                       \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {               \
        va_list list;                                      \
        va_start(list, flags);                             \
        mode = va_arg(list, mode_t);                       \
        va_end(list);                                      \
    }
#define MAKES(flags) ((flags) & O_CREAT ? ROOM : ALWAYS)

int open(const char *path, int flags, ...) { MODE(flags) CALL(open, path, MAKES(flags), path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) CALL(open64, path, MAKES(flags), path, flags, mode); }
int openat(int fd, const char *path, int flags, ...) { MODE(flags) CALL(openat, from(fd, path, buffer), MAKES(flags), fd, path, flags, mode); }
int openat64(int fd, const char *path, int flags, ...) { MODE(flags) CALL(openat64, from(fd, path, buffer), MAKES(flags), fd, path, flags, mode); }
int creat(const char *path, mode_t mode) { CALL(creat, path, ROOM, path, mode); }
int creat64(const char *path, mode_t mode) { CALL(creat64, path, ROOM, path, mode); }

ssize_t read(int fd, void *to, size_t size) { CALL(read, of(fd, buffer), ALWAYS, fd, to, size); }
ssize_t pread(int fd, void *to, size_t size, off_t where) { CALL(pread, of(fd, buffer), ALWAYS, fd, to, size, where); }
ssize_t pread64(int fd, void *to, size_t size, off64_t where) { CALL(pread64, of(fd, buffer), ALWAYS, fd, to, size, where); }

/* Writes may come half way. */
#define WRITE(name, size, ...)                             \
    do {                                                   \
        char buffer[PATH_MAX];                             \
        int error = fate(#name, of(fd, buffer), ROOM);     \
        if (error > 0 || (error < 0 && size < 2)) FAIL(error < 0 ? ENOSPC : error); \
        if (error < 0) size /= 2;                          \
        return REAL(name)(__VA_ARGS__);                    \
    } while (0)
ssize_t write(int fd, const void *bytes, size_t size) { WRITE(write, size, fd, bytes, size); }
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t where) { WRITE(pwrite, size, fd, bytes, size, where); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t where) { WRITE(pwrite64, size, fd, bytes, size, where); }
ssize_t writev(int fd, const struct iovec *parts, int count) { WRITE(writev, count, fd, parts, count); }
ssize_t copy_file_range(int in, off64_t *first, int fd, off64_t *where, size_t size, unsigned flags) { WRITE(copy_file_range, size, in, first, fd, where, size, flags); }

/* The descriptor is gone all the same. */
int close(int fd) {
    char buffer[PATH_MAX];
    int error = fate("close", of(fd, buffer), ROOM), closed = REAL(close)(fd);
    if (error) FAIL(error < 0 ? ENOSPC : error);
    return closed;
}

int fsync(int fd) { CALL(fsync, of(fd, buffer), ROOM, fd); }
int fdatasync(int fd) { CALL(fdatasync, of(fd, buffer), ROOM, fd); }
int ftruncate(int fd, off_t size) { CALL(ftruncate, of(fd, buffer), ROOM, fd, size); }
int ftruncate64(int fd, off64_t size) { CALL(ftruncate64, of(fd, buffer), ROOM, fd, size); }
int fchmod(int fd, mode_t mode) { CALL(fchmod, of(fd, buffer), ALWAYS, fd, mode); }
int flock(int fd, int how) { CALL(flock, of(fd, buffer), ALWAYS, fd, how); }
int rename(const char *old, const char *path) { CALL(rename, path, ROOM, old, path); }
int renameat(int a, const char *old, int b, const char *path) { CALL(renameat, from(b, path, buffer), ROOM, a, old, b, path); }
int renameat2(int a, const char *old, int b, const char *path, unsigned flags) { CALL(renameat2, from(b, path, buffer), ROOM, a, old, b, path, flags); }
int link(const char *old, const char *path) { CALL(link, path, ROOM, old, path); }
int linkat(int a, const char *old, int b, const char *path, int flags) { CALL(linkat, from(b, path, buffer), ROOM, a, old, b, path, flags); }
int mkdir(const char *path, mode_t mode) { CALL(mkdir, path, ROOM, path, mode); }
int mkdirat(int fd, const char *path, mode_t mode) { CALL(mkdirat, from(fd, path, buffer), ROOM, fd, path, mode); }
int rmdir(const char *path) { CALL(rmdir, path, ALWAYS, path); }
int unlink(const char *path) { CALL(unlink, path, ALWAYS, path); }
int unlinkat(int fd, const char *path, int flags) { CALL(unlinkat, from(fd, path, buffer), ALWAYS, fd, path, flags); }
