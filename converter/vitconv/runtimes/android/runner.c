/* Runs one model through TensorFlow Lite's C API, for vitconv.runtimes.android.AndroidRunner.
 *
 *     runner MODEL THREADS XNNPACK PROFILE        (XNNPACK: 1 to add the delegate, else 0; PROFILE: 1 to mark)
 *
 * Speaks the protocol of vitconv.runtimes.worker on standard input and output: two little-endian 32-bit lengths,
 * then so many bytes of JSON, then so many raw bytes. It knows these requests by their names; everything else it
 * needs to know comes in its arguments:
 *
 *     "start", "load"    as vitconv.runtimes.worker has them
 *     "run"              one input's bytes → one output's bytes
 *     "time"             one run on fixed pixels → {"ms"}
 *     "count"            the same → {"events": [...]}, one for each mark between the first and the last for counter.c,
 *                        with PROFILE: ["begin", operator, node], ["end"], ["clock"]; and without a mark of its own
 *                        ["part", operator] for each of XNNPACK's in the partition that has just run
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The part of the library's C interface that is used here. The AAR's own headers include some that it lacks. */
typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteDelegate TfLiteDelegate;
typedef struct TfLiteTensor TfLiteTensor;
typedef void Reporter(void *, const char *, va_list);
typedef struct {
    float scale;
    int32_t zero_point;
} Quantization;
typedef struct {
    int32_t num_threads;
    char others[252]; /* the library writes and reads as much as its version has */
} XnnpackOptions;
typedef struct { /* what the interpreter calls before and after each operator, among others */
    void *data;
    void (*event)(void *, const char *, uint64_t);
    void (*operator_event)(void *, const char *, int64_t, int64_t, uint64_t);
    void (*settings)(void *, const char *, const void *);
    uint32_t (*begin)(void *, const char *, int64_t, int64_t);
    void (*end)(void *, uint32_t);
    void (*operator_time)(void *, const char *, uint64_t, int64_t, int64_t);
} Profiler;

extern const char *TfLiteVersion(void);
extern TfLiteModel *TfLiteModelCreateFromFileWithErrorReporter(const char *, Reporter *, void *);
extern TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
extern void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t);
extern void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions *, Reporter *, void *);
extern void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);
extern void TfLiteInterpreterOptionsSetTelemetryProfiler(TfLiteInterpreterOptions *, Profiler *);
extern XnnpackOptions TfLiteXNNPackDelegateOptionsDefault(void);
extern TfLiteDelegate *TfLiteXNNPackDelegateCreate(const XnnpackOptions *);
extern TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
extern int TfLiteInterpreterAllocateTensors(TfLiteInterpreter *);
extern int TfLiteInterpreterInvoke(TfLiteInterpreter *);
extern int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter *);
extern int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter *);
extern TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *, int32_t);
extern const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *, int32_t);
extern int TfLiteTensorType(const TfLiteTensor *);
extern int32_t TfLiteTensorNumDims(const TfLiteTensor *);
extern int32_t TfLiteTensorDim(const TfLiteTensor *, int32_t);
extern size_t TfLiteTensorByteSize(const TfLiteTensor *);
extern void *TfLiteTensorData(const TfLiteTensor *);
extern const char *TfLiteTensorName(const TfLiteTensor *);
extern Quantization TfLiteTensorQuantizationParams(const TfLiteTensor *);
extern int TfLiteTensorCopyFromBuffer(TfLiteTensor *, const void *, size_t);
enum { OK = 0, FLOAT32 = 1, INT32 = 2, UINT8 = 3, INT64 = 4, BOOL = 6, INT16 = 7, INT8 = 9 };

/* On arm64, code compiled for Android reads its stack guard 40 bytes after the thread pointer. There an ordinary
 * program keeps its first thread-local variable, so that must be one that nobody writes. */
_Thread_local char stack_guard[256] __attribute__((aligned(16))) = {1};

static FILE *requests, *answers;
static char reason[4096]; /* what the runtime has reported since the last answer */

static void report(void *unused, const char *format, va_list arguments) {
    (void)unused;
    size_t used = strlen(reason);
    if (used > 0 && used + 2 < sizeof reason) used += snprintf(reason + used, sizeof reason - used, "; ");
    vsnprintf(reason + used, sizeof reason - used, format, arguments);
}

/* --- messages --- */

static void answer(const char *header, const void *data, size_t size) {
    uint32_t lengths[2] = {(uint32_t)strlen(header), (uint32_t)size};
    if (fwrite(lengths, sizeof lengths, 1, answers) != 1 || fputs(header, answers) == EOF ||
        fwrite(data, 1, size, answers) != size || fflush(answers) != 0)
        exit(1); /* nobody listens any more */
}

static void *read_bytes(size_t size) {
    char *bytes = calloc(size + 1, 1);
    if (!bytes || fread(bytes, 1, size, requests) != size) exit(1);
    return bytes;
}

/* A JSON string. Bytes that are neither printable ASCII nor part of UTF-8 text may come out of a corrupt file. */
static void write_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') fprintf(out, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f) fprintf(out, "\\u%04x", byte);
        else fputc(byte, out);
    }
    fputc('"', out);
}

static void answer_error(const char *otherwise) {
    char *header = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&header, &size);
    fputs("{\"error\": ", out);
    write_string(out, reason[0] ? reason : otherwise);
    fputc('}', out);
    fclose(out);
    answer(header, "", 0);
    free(header);
    reason[0] = 0;
}

/* --- what the operators are, while they run --- */

enum { MARK = -7619 }; /* counter.c's */

static struct { const char *kind, *name; long node; } *events;
static size_t event_count, event_room;
static char names[1 << 20], *next_name = names; /* copies: those of XNNPACK's operators are gone in a moment */
static volatile ssize_t refused; /* so that no compiler asks what became of the call */

/* Few instructions, because they are counted, too. The system refuses the call, and counter.c sees it. */
static void mark(void) { refused = write(MARK, "", 0); }

static void note(const char *kind, const char *name, long node) {
    if (event_count == event_room) {
        event_room = event_room ? 2 * event_room : 4096;
        events = realloc(events, event_room * sizeof *events);
        if (!events) exit(1);
    }
    events[event_count].kind = kind;
    events[event_count].node = node;
    events[event_count++].name = name ? next_name : NULL;
    if (!name) return;
    while (next_name < names + sizeof names - 1 && (*next_name = *name++)) next_name++;
    if (next_name < names + sizeof names - 1) next_name++;
}

static uint32_t begin_operator(void *unused, const char *name, int64_t node, int64_t graph) {
    (void)unused, (void)graph;
    note("begin", name, (long)node);
    mark();
    return 1;
}

static void end_operator(void *unused, uint32_t handle) {
    (void)unused, (void)handle;
    mark();
    note("end", NULL, 0);
}

static void on_clock(void) {
    mark();
    note("clock", NULL, 0);
}

static void part_ran(void *unused, const char *name, uint64_t time, int64_t part, int64_t graph) {
    (void)unused, (void)time, (void)graph;
    note("part", name, (long)part);
}

static void ignore_event(void *a, const char *b, uint64_t c) { (void)a, (void)b, (void)c; }
static void ignore_operator_event(void *a, const char *b, int64_t c, int64_t d, uint64_t e) {
    (void)a, (void)b, (void)c, (void)d, (void)e;
}
static void ignore_settings(void *a, const char *b, const void *c) { (void)a, (void)b, (void)c; }

static Profiler profiler = {
    NULL, ignore_event, ignore_operator_event, ignore_settings, begin_operator, end_operator, part_ran,
};

/* --- the model --- */

static const char *dtype(int type) {
    switch (type) {
        case FLOAT32: return "float32";
        case UINT8: return "uint8";
        case INT8: return "int8";
        case INT16: return "int16";
        case INT32: return "int32";
        case INT64: return "int64";
        case BOOL: return "bool";
        default: return "other";
    }
}

static void write_tensor(FILE *out, const TfLiteTensor *tensor) {
    Quantization quantized = TfLiteTensorQuantizationParams(tensor);
    const char *name = TfLiteTensorName(tensor);
    fputs("{\"name\": ", out);
    write_string(out, name ? name : "");
    fputs(", \"shape\": [", out);
    for (int i = 0; i < TfLiteTensorNumDims(tensor); i++)
        fprintf(out, "%s%d", i ? ", " : "", TfLiteTensorDim(tensor, i));
    fprintf(out, "], \"dtype\": \"%s\", ", dtype(TfLiteTensorType(tensor)));
    if (quantized.scale != 0)
        fprintf(out, "\"scale\": %.17g, \"zero_point\": %d}", quantized.scale, quantized.zero_point);
    else
        fputs("\"scale\": null, \"zero_point\": null}", out);
}

static TfLiteInterpreter *load(const char *path, int threads, int xnnpack, int profile) {
    TfLiteModel *model = TfLiteModelCreateFromFileWithErrorReporter(path, report, NULL);
    if (!model) return NULL;
    TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
    TfLiteInterpreterOptionsSetNumThreads(options, threads);
    TfLiteInterpreterOptionsSetErrorReporter(options, report, NULL);
    if (xnnpack) {
        XnnpackOptions how = TfLiteXNNPackDelegateOptionsDefault();
        how.num_threads = threads;
        TfLiteInterpreterOptionsAddDelegate(options, TfLiteXNNPackDelegateCreate(&how));
    }
    if (profile) TfLiteInterpreterOptionsSetTelemetryProfiler(options, &profiler);
    TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(model, options);
    if (interpreter && TfLiteInterpreterAllocateTensors(interpreter) != OK) return NULL;
    return interpreter;
}

static void answer_loaded(TfLiteInterpreter *interpreter) {
    char *header = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&header, &size);
    fputs("{\"inputs\": [", out);
    for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(interpreter); i++) {
        if (i) fputs(", ", out);
        write_tensor(out, TfLiteInterpreterGetInputTensor(interpreter, i));
    }
    fputs("], \"outputs\": [", out);
    for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(interpreter); i++) {
        if (i) fputs(", ", out);
        write_tensor(out, TfLiteInterpreterGetOutputTensor(interpreter, i));
    }
    fprintf(out, "], \"version\": \"%s\"}", TfLiteVersion());
    fclose(out);
    answer(header, "", 0);
    free(header);
}

static void run(TfLiteInterpreter *interpreter, const void *input, size_t size) {
    TfLiteTensor *source = TfLiteInterpreterGetInputTensor(interpreter, 0);
    if (TfLiteTensorCopyFromBuffer(source, input, size) != OK) {
        answer_error("the input has another size than the model's");
    } else if (TfLiteInterpreterInvoke(interpreter) != OK) {
        answer_error("the model cannot be run");
    } else {
        const TfLiteTensor *target = TfLiteInterpreterGetOutputTensor(interpreter, 0);
        answer("{}", TfLiteTensorData(target), TfLiteTensorByteSize(target));
    }
}

/* Always the same bytes: every value of an integer, and of a float the whole numbers from 0 to 255. */
static int fill_inputs(TfLiteInterpreter *interpreter) {
    for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(interpreter); i++) {
        TfLiteTensor *tensor = TfLiteInterpreterGetInputTensor(interpreter, i);
        int type = TfLiteTensorType(tensor);
        size_t size = TfLiteTensorByteSize(tensor);
        if (!TfLiteTensorData(tensor)) return 0;
        if (type == FLOAT32) {
            float *values = TfLiteTensorData(tensor);
            for (size_t k = 0; k < size / sizeof *values; k++) values[k] = (uint32_t)(k * 2654435761u) >> 24;
        } else if (type == UINT8 || type == INT8) {
            uint8_t *values = TfLiteTensorData(tensor);
            for (size_t k = 0; k < size; k++) values[k] = (uint32_t)(k * 2654435761u) >> 24;
        } else {
            memset(TfLiteTensorData(tensor), 0, size);
        }
    }
    return 1;
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * now.tv_sec + 1e-6 * now.tv_nsec;
}

static void measure_time(TfLiteInterpreter *interpreter) {
    char header[64];
    int ready = fill_inputs(interpreter);
    double start = milliseconds();
    if (!ready || TfLiteInterpreterInvoke(interpreter) != OK) {
        answer_error("the model cannot be run");
        return;
    }
    snprintf(header, sizeof header, "{\"ms\": %.6f}", milliseconds() - start);
    answer(header, "", 0);
}

static void count(TfLiteInterpreter *interpreter, int profile) {
    void (**hook)(void) = dlsym(RTLD_DEFAULT, "vitconv_on_clock");
    int ready = fill_inputs(interpreter);
    event_count = 0;
    next_name = names;
    if (hook && profile) *hook = on_clock;
    mark();
    int ended = ready ? TfLiteInterpreterInvoke(interpreter) : -1;
    mark();
    if (hook) *hook = NULL;
    if (ended != OK) {
        answer_error("the model cannot be run");
        return;
    }
    char *header = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&header, &size);
    fputs("{\"events\": [", out);
    for (size_t i = 0; i < event_count; i++) {
        fprintf(out, "%s[\"%s\"", i ? ", " : "", events[i].kind);
        if (events[i].name) {
            fputs(", ", out);
            write_string(out, events[i].name);
            fprintf(out, ", %ld", events[i].node);
        }
        fputc(']', out);
    }
    fputs("]}", out);
    fclose(out);
    answer(header, "", 0);
    free(header);
}

static void limit(int what, rlim_t most) {
    struct rlimit both;
    if (getrlimit(what, &both) == 0) {
        if (both.rlim_max == RLIM_INFINITY || both.rlim_max > most) both.rlim_max = most;
        both.rlim_cur = both.rlim_max;
        setrlimit(what, &both);
    }
}

int main(int given, char **arguments) {
    if (given != 5) {
        fputs("usage: runner MODEL THREADS XNNPACK PROFILE\n", stderr);
        return 2;
    }
    requests = fdopen(dup(0), "rb");
    answers = fdopen(dup(1), "wb");
    dup2(2, 1); /* what the runtime prints must not get between the answers */
    /* So that a corrupt file can neither fill the machine's memory or disk nor leave a core dump. */
    limit(RLIMIT_AS, (rlim_t)8 << 30);
    limit(RLIMIT_FSIZE, (rlim_t)64 << 20);
    limit(RLIMIT_CORE, 0);

    TfLiteInterpreter *interpreter = NULL;
    uint32_t lengths[2];
    while (fread(lengths, sizeof lengths, 1, requests) == 1) {
        char *header = read_bytes(lengths[0]), *data = read_bytes(lengths[1]);
        if (strstr(header, "\"do\": \"start\"")) {
            answer("{}", "", 0);
        } else if (strstr(header, "\"do\": \"load\"")) {
            interpreter = load(arguments[1], atoi(arguments[2]), arguments[3][0] == '1', arguments[4][0] == '1');
            if (interpreter) answer_loaded(interpreter);
            else answer_error("the file cannot be loaded");
        } else if (strstr(header, "\"do\": \"run\"") && interpreter) {
            run(interpreter, data, lengths[1]);
        } else if (strstr(header, "\"do\": \"time\"") && interpreter) {
            measure_time(interpreter);
        } else if (strstr(header, "\"do\": \"count\"") && interpreter) {
            count(interpreter, arguments[4][0] == '1');
        } else {
            answer_error("an unknown request");
        }
        free(header);
        free(data);
    }
    _exit(0); /* the interpreter of a corrupt file may crash on its way out */
}
