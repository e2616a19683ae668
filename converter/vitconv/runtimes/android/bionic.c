/* What Android's C library does otherwise than glibc, for the symbols that libtensorflowlite_jni.so takes from it.
 *
 * Everything else in its list is the same function with the same arguments in both, and libraries.py writes a jump
 * for it. Facts about Android's side are from the public headers of its C library for 64-bit machines.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* bionic_NAME is what the library finds as NAME. */
#define STANDS_FOR(name) __asm__(".symver bionic_" #name "," #name "@LIBC")

/* --- looking up symbols --- */

/* On Android RTLD_DEFAULT ends with the libraries that the caller was loaded with. glibc doesn't look there where
 * they were loaded privately, as a Java virtual machine loads them; but the library looks for its own XNNPACK so. */
void *bionic_dlsym(void *handle, const char *name) {
    void *found = dlsym(handle, name);
    if (found || handle != RTLD_DEFAULT) return found;
    void *caller = dlopen("libtensorflowlite_jni.so", RTLD_LAZY | RTLD_NOLOAD);
    if (!caller) return NULL;
    found = dlsym(caller, name);
    dlclose(caller);
    return found;
}
STANDS_FOR(dlsym);

/* --- standard streams: an array of three structures of 152 bytes, whose addresses are the streams --- */

#define FILE_SIZE 152
char bionic___sF[3 * FILE_SIZE];
STANDS_FOR(__sF);

static FILE *stream_of(void *file) {
    if (file == bionic___sF) return stdin;
    if (file == bionic___sF + FILE_SIZE) return stdout;
    if (file == bionic___sF + 2 * FILE_SIZE) return stderr;
    return file; /* from fopen, which is glibc's */
}

int bionic_vfprintf(void *file, const char *format, va_list arguments) {
    return vfprintf(stream_of(file), format, arguments);
}
STANDS_FOR(vfprintf);

int bionic_fprintf(void *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int count = vfprintf(stream_of(file), format, arguments);
    va_end(arguments);
    return count;
}
STANDS_FOR(fprintf);

int bionic_fputc(int character, void *file) { return fputc(character, stream_of(file)); }
STANDS_FOR(fputc);

size_t bionic_fwrite(const void *data, size_t size, size_t count, void *file) {
    return fwrite(data, size, count, stream_of(file));
}
STANDS_FOR(fwrite);

int bionic_fflush(void *file) { return fflush(stream_of(file)); }
STANDS_FOR(fflush);

int bionic_fclose(void *file) { return fclose(stream_of(file)); }
STANDS_FOR(fclose);

int bionic_fileno(void *file) { return fileno(stream_of(file)); }
STANDS_FOR(fileno);

/* --- other names, other numbers --- */

int *bionic___errno(void) { return __errno_location(); }
STANDS_FOR(__errno);

size_t bionic___strlen_chk(const char *text, size_t size) {
    (void)size;
    return strlen(text);
}
STANDS_FOR(__strlen_chk);

/* The variant that returns a number, not glibc's that returns a pointer. */
extern int __xpg_strerror_r(int, char *, size_t);
int bionic_strerror_r(int error, char *text, size_t size) { return __xpg_strerror_r(error, text, size); }
STANDS_FOR(strerror_r);

long bionic_sysconf(int name) {
    switch (name) {
        case 0x27:
        case 0x28: return sysconf(_SC_PAGESIZE);
        case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
        case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
        case 0x62: return sysconf(_SC_PHYS_PAGES);
        case 0x63: return sysconf(_SC_AVPHYS_PAGES);
        default: errno = EINVAL; return -1;
    }
}
STANDS_FOR(sysconf);

/* --- the clock --- */

/* Called before the clock is read. XNNPACK reads it before its first operator and behind each, where they are
 * profiled: so runner.c knows when each has ended. */
void (*vitconv_on_clock)(void);

int bionic_clock_gettime(clockid_t clock, struct timespec *now) {
    if (vitconv_on_clock) vitconv_on_clock();
    return clock_gettime(clock, now);
}
STANDS_FOR(clock_gettime);

/* --- memory ---
 *
 * XNNPACK of this release asks for addresses of a multiple of 32 when it is built for Android, and reads its
 * operators' parameters with AVX-512 instructions that end the process where it is not one of 64: in int8 → float32
 * conversions among others, by chance. A machine with AVX-512 stands for phones without it, so it is met here.
 */

#define MOST_ALIGNED 64

static size_t aligned(size_t alignment) { return alignment < MOST_ALIGNED ? MOST_ALIGNED : alignment; }

void *bionic_memalign(size_t alignment, size_t size) { return memalign(aligned(alignment), size); }
STANDS_FOR(memalign);

int bionic_posix_memalign(void **memory, size_t alignment, size_t size) {
    return posix_memalign(memory, aligned(alignment), size);
}
STANDS_FOR(posix_memalign);

/* --- what only Android has --- */

/* Android 14's, which the library asks for before it trusts dlsym; no other property is set. */
int bionic___system_property_get(const char *name, char *value) {
    strcpy(value, strcmp(name, "ro.build.version.sdk") ? "" : "34");
    return (int)strlen(value);
}
STANDS_FOR(__system_property_get);

void bionic_android_set_abort_message(const char *message) { fprintf(stderr, "%s\n", message); }
STANDS_FOR(android_set_abort_message);

/* The system's log. The library writes the same lines to standard error itself. */
int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
    (void)priority, (void)tag, (void)format, (void)arguments;
    return 1;
}

/* --- threads --- */

/* 40 bytes there. glibc uses as many, but on arm64 its structure has 48, and init clears all of it. */
int bionic_pthread_mutex_init(void *mutex, const pthread_mutexattr_t *attributes) {
    pthread_mutex_t whole;
    int error = pthread_mutex_init(&whole, attributes);
    memcpy(mutex, &whole, 40);
    return error;
}
STANDS_FOR(pthread_mutex_init);

/* Aligned to 4 bytes there; glibc needs 8. So a counter of wake-ups, on which the kernel lets threads wait. */
int bionic_pthread_cond_init(int *condition, const void *attributes) {
    (void)attributes;
    __atomic_store_n(condition, 0, __ATOMIC_SEQ_CST);
    return 0;
}
STANDS_FOR(pthread_cond_init);

int bionic_pthread_cond_destroy(int *condition) {
    (void)condition;
    return 0;
}
STANDS_FOR(pthread_cond_destroy);

static int wake(int *condition, int threads) {
    __atomic_add_fetch(condition, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, condition, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
    return 0;
}

int bionic_pthread_cond_signal(int *condition) { return wake(condition, 1); }
STANDS_FOR(pthread_cond_signal);

int bionic_pthread_cond_broadcast(int *condition) { return wake(condition, INT_MAX); }
STANDS_FOR(pthread_cond_broadcast);

int bionic_pthread_cond_wait(int *condition, pthread_mutex_t *mutex) {
    int seen = __atomic_load_n(condition, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(mutex);
    /* Returns at once where a wake-up came in between. */
    syscall(SYS_futex, condition, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    return pthread_mutex_lock(mutex);
}
STANDS_FOR(pthread_cond_wait);
