/* A library to be put before libc with LD_PRELOAD: some calls on files below one folder fail, or end the process.

   Calls are counted by kind while the library is armed. From the first one on, or at that one alone, a call of the
   chosen kind gives an error, or the process ends as under kill -9: without a word, without any handler. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { READ, WRITE, FSYNC, RENAME, OPEN, UNLINK, MKDIR, KINDS };
enum { DIE = -1, DIE_HALFWAY = -2 }; /* what happens where it is not an errno; the second writes one half before */

static char below[PATH_MAX];
static int armed, wanted, happens, for_ever;
static long first, seen[KINDS], struck;

void faults_arm(const char *folder, int kind, long from, int ever, int what) {
  snprintf(below, sizeof below, "%s/", folder);
  memset(seen, 0, sizeof seen);
  struck = 0;
  wanted = kind, first = from, for_ever = ever, happens = what, armed = 1;
}

long faults_disarm(long counts[KINDS]) {
  armed = 0;
  memcpy(counts, seen, sizeof seen);
  return struck;
}

static const char *of_descriptor(int fd, char room[PATH_MAX]) {
  char link[48];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, room, PATH_MAX - 1);
  room[length < 0 ? 0 : length] = 0;
  return room;
}

static int is_below(const char *path) { /* the folder itself counts */
  size_t length = strlen(below);
  return !strncmp(path, below, length) || (strlen(path) == length - 1 && !strncmp(path, below, length - 1));
}

static int strikes(int kind) {
  long number = __atomic_add_fetch(&seen[kind], 1, __ATOMIC_SEQ_CST);
  if (kind != wanted || number < first || (number > first && !for_ever)) return 0;
  __atomic_add_fetch(&struck, 1, __ATOMIC_SEQ_CST);
  if (happens == DIE) _exit(77);
  if (happens != DIE_HALFWAY) errno = happens;
  return 1;
}

static int at(int kind, int folder, const char *path) {
  char room[PATH_MAX], whole[2 * PATH_MAX];
  if (!armed || !path) return 0;
  if (*path == '/') return is_below(path) && strikes(kind);
  const char *start = folder == AT_FDCWD ? getcwd(room, sizeof room) : of_descriptor(folder, room);
  snprintf(whole, sizeof whole, "%s/%s", start ? start : "", path);
  return is_below(whole) && strikes(kind);
}

static int on(int kind, int fd) {
  char room[PATH_MAX];
  return armed && is_below(of_descriptor(fd, room)) && strikes(kind);
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    REAL(int, name, const char *, int, ...); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = va_arg(rest, mode_t); \
    va_end(rest); \
    return at(OPEN, AT_FDCWD, path) ? -1 : real(path, flags, mode); \
  }
OPENS(open) OPENS(open64)

#define OPENS_AT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(int, name, int, const char *, int, ...); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = va_arg(rest, mode_t); \
    va_end(rest); \
    return at(OPEN, folder, path) ? -1 : real(folder, path, flags, mode); \
  }
OPENS_AT(openat) OPENS_AT(openat64)

#define OPENS_CHECKED(name) \
  int name(const char *path, int flags) { \
    REAL(int, name, const char *, int); \
    return at(OPEN, AT_FDCWD, path) ? -1 : real(path, flags); \
  }
OPENS_CHECKED(__open_2) OPENS_CHECKED(__open64_2)

#define OPENS_STREAM(name) \
  FILE *name(const char *path, const char *mode) { \
    REAL(FILE *, name, const char *, const char *); \
    return at(OPEN, AT_FDCWD, path) ? NULL : real(path, mode); \
  }
OPENS_STREAM(fopen) OPENS_STREAM(fopen64)

DIR *opendir(const char *path) {
  REAL(DIR *, opendir, const char *);
  return at(OPEN, AT_FDCWD, path) ? NULL : real(path);
}

ssize_t read(int fd, void *data, size_t size) {
  REAL(ssize_t, read, int, void *, size_t);
  return on(READ, fd) ? -1 : real(fd, data, size);
}

#define READS_AT(name, offset_type) \
  ssize_t name(int fd, void *data, size_t size, offset_type offset) { \
    REAL(ssize_t, name, int, void *, size_t, offset_type); \
    return on(READ, fd) ? -1 : real(fd, data, size, offset); \
  }
READS_AT(pread, off_t) READS_AT(pread64, off64_t)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  if (fd <= 2 || !on(WRITE, fd)) return real(fd, data, size);
  if (happens == DIE_HALFWAY) real(fd, data, size / 2), _exit(77);
  return -1;
}

#define WRITES_AT(name, offset_type) \
  ssize_t name(int fd, const void *data, size_t size, offset_type offset) { \
    REAL(ssize_t, name, int, const void *, size_t, offset_type); \
    if (!on(WRITE, fd)) return real(fd, data, size, offset); \
    if (happens == DIE_HALFWAY) real(fd, data, size / 2, offset), _exit(77); \
    return -1; \
  }
WRITES_AT(pwrite, off_t) WRITES_AT(pwrite64, off64_t)

#define TRUNCATES(name, offset_type) \
  int name(int fd, offset_type size) { \
    REAL(int, name, int, offset_type); \
    if (!on(WRITE, fd)) return real(fd, size); \
    if (happens == DIE_HALFWAY) _exit(77); \
    return -1; \
  }
TRUNCATES(ftruncate, off_t) TRUNCATES(ftruncate64, off64_t)

#define RESERVES(name, offset_type) \
  int name(int fd, offset_type from, offset_type size) { \
    REAL(int, name, int, offset_type, offset_type); \
    if (!on(WRITE, fd)) return real(fd, from, size); \
    if (happens == DIE_HALFWAY) _exit(77); \
    return happens; \
  }
RESERVES(posix_fallocate, off_t) RESERVES(posix_fallocate64, off64_t)

#define SYNCS(name) \
  int name(int fd) { \
    REAL(int, name, int); \
    return on(FSYNC, fd) ? -1 : real(fd); \
  }
SYNCS(fsync) SYNCS(fdatasync)

#define RENAMES(name) \
  int name(const char *from, const char *to) { \
    REAL(int, name, const char *, const char *); \
    return at(RENAME, AT_FDCWD, to) ? -1 : real(from, to); \
  }
RENAMES(rename) RENAMES(link)

int renameat(int here, const char *from, int there, const char *to) {
  REAL(int, renameat, int, const char *, int, const char *);
  return at(RENAME, there, to) ? -1 : real(here, from, there, to);
}

int renameat2(int here, const char *from, int there, const char *to, unsigned flags) {
  REAL(int, renameat2, int, const char *, int, const char *, unsigned);
  return at(RENAME, there, to) ? -1 : real(here, from, there, to, flags);
}

int linkat(int here, const char *from, int there, const char *to, int flags) {
  REAL(int, linkat, int, const char *, int, const char *, int);
  return at(RENAME, there, to) ? -1 : real(here, from, there, to, flags);
}

#define REMOVES(name) \
  int name(const char *path) { \
    REAL(int, name, const char *); \
    return at(UNLINK, AT_FDCWD, path) ? -1 : real(path); \
  }
REMOVES(unlink) REMOVES(rmdir)

int unlinkat(int folder, const char *path, int flags) {
  REAL(int, unlinkat, int, const char *, int);
  return at(UNLINK, folder, path) ? -1 : real(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  return at(MKDIR, AT_FDCWD, path) ? -1 : real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(int, mkdirat, int, const char *, mode_t);
  return at(MKDIR, folder, path) ? -1 : real(folder, path, mode);
}
