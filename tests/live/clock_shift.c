/* Preloaded into a collector: adds the microseconds in the file NOCTULE_CLOCK_SHIFT, a 64-bit number
 * that the test changes, to the wall clock. The monotonic clock stays as it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift_us;

__attribute__((constructor)) static void open_shift(void)
{
    const char *path = getenv("NOCTULE_CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *at = mmap(NULL, sizeof *shift_us, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED)
        shift_us = at;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long failed = syscall(SYS_clock_gettime, clock, time);
    if (failed == 0 && clock == CLOCK_REALTIME && shift_us) {
        int64_t us = time->tv_nsec / 1000 + *shift_us % 1000000;
        time->tv_sec += *shift_us / 1000000 + us / 1000000 - (us % 1000000 < 0);
        time->tv_nsec = (us % 1000000 + (us % 1000000 < 0 ? 1000000 : 0)) * 1000;
    }
    return (int)failed;
}
