"""Sets the clocks of a test's programs without touching the machine's."""
import mmap
import pathlib
import struct

from . import preload

# A thread that waits until a time of a clock looks at the clock again now and then, as the kernel
# does when the machine's clock is set.
_SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <dlfcn.h>

#define SECOND 1000000000LL

struct offsets { volatile int64_t wall, monotonic; };
static struct offsets none;
static struct offsets* offsets = &none;

// Other libraries' constructors may call before this library's.
static long (*next_syscall(void))(long, ...) {
  static long (*next)(long, ...);
  if (next == NULL) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return next;
}

__attribute__((constructor)) static void load(void) {
  const int fd = open(getenv("FAKE_CLOCKS"), O_RDONLY | O_CLOEXEC);
  void* const map = mmap(NULL, sizeof(*offsets), PROT_READ, MAP_SHARED, fd, 0);
  if (fd < 0 || map == MAP_FAILED) abort();
  offsets = map;
  close(fd);
}

static int64_t real(clockid_t clock) {
  struct timespec now;
  long result;
#ifdef __x86_64__
  __asm__ volatile("syscall" : "=a"(result)
                   : "0"((long)SYS_clock_gettime), "D"((long)clock), "S"(&now)
                   : "rcx", "r11", "memory");
#else
  result = next_syscall()(SYS_clock_gettime, clock, &now);
#endif
  return result == 0 ? now.tv_sec * SECOND + now.tv_nsec : -1;
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  int64_t value = real(clock);
  if (value < 0) { errno = EINVAL; return -1; }
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) value += offsets->wall;
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_BOOTTIME ||
      clock == CLOCK_MONOTONIC_COARSE) value += offsets->monotonic;
  now->tv_sec = value / SECOND;
  now->tv_nsec = value % SECOND;
  return 0;
}

int gettimeofday(struct timeval* now, void* zone) {
  const int64_t value = real(CLOCK_REALTIME) + offsets->wall;
  (void)zone;
  now->tv_sec = value / SECOND;
  now->tv_usec = value % SECOND / 1000;
  return 0;
}

time_t time(time_t* out) {
  const time_t value = (real(CLOCK_REALTIME) + offsets->wall) / SECOND;
  if (out != NULL) *out = value;
  return value;
}

static int64_t now(clockid_t clock) {
  return real(clock) + (clock == CLOCK_REALTIME ? offsets->wall : offsets->monotonic);
}

int pthread_cond_clockwait(pthread_cond_t* cond, pthread_mutex_t* mutex, clockid_t clock,
                           const struct timespec* until) {
  static int (*next)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  const int64_t deadline = until->tv_sec * SECOND + until->tv_nsec;
  for (;;) {
    const int64_t left = deadline - now(clock);
    if (left <= 0) return ETIMEDOUT;
    const int64_t end = real(clock) + (left < SECOND / 50 ? left : SECOND / 50);
    const struct timespec slice = {end / SECOND, end % SECOND};
    const int result = next(cond, mutex, clock, &slice);
    if (result != ETIMEDOUT) return result;
  }
}

long syscall(long number, ...) {
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; ++i) a[i] = va_arg(arguments, long);
  va_end(arguments);
  const struct timespec* const until = (const struct timespec*)a[3];
  if (number != SYS_futex || (a[1] & FUTEX_CMD_MASK) != FUTEX_WAIT_BITSET ||
      (a[1] & FUTEX_CLOCK_REALTIME) == 0 || until == NULL) {
    return next_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  const int64_t deadline = until->tv_sec * SECOND + until->tv_nsec;
  for (;;) {
    const int64_t left = deadline - (real(CLOCK_REALTIME) + offsets->wall);
    if (left <= 0) { errno = ETIMEDOUT; return -1; }
    const int64_t end = real(CLOCK_REALTIME) + (left < SECOND / 50 ? left : SECOND / 50);
    const struct timespec slice = {end / SECOND, end % SECOND};
    const long result = next_syscall()(number, a[0], a[1], a[2], &slice, a[4], a[5]);
    if (result == 0 || errno != ETIMEDOUT) return result;
  }
}
"""


class Clocks:
    """Adds to the wall clock and to the monotonic clock of programs with `environment`."""

    def __init__(self, directory):
        path = pathlib.Path(directory) / "clocks"
        path.write_bytes(bytes(16))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)
        self.environment = {**preload.build(_SOURCE, directory), "FAKE_CLOCKS": str(path)}

    def step_wall(self, seconds):
        """Sets the wall clock by so many seconds forth, or back if negative."""
        self._add(0, seconds)

    def pass_time(self, seconds):
        """Lets time pass at once, on both clocks."""
        self._add(0, seconds)
        self._add(8, seconds)

    def _add(self, at, seconds):
        value, = struct.unpack_from("=q", self._map, at)
        struct.pack_into("=q", self._map, at, value + int(seconds * 1e9))
