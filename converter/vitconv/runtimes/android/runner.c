/* Runs one model through TensorFlow Lite's C API, for vitconv.runtimes.android.AndroidRunner.
 *
 *     runner MODEL THREADS XNNPACK        (XNNPACK: 1 to add the delegate, else 0)
 *
 * Speaks the protocol of vitconv.runtimes.worker on standard input and output: two little-endian 32-bit lengths,
 * then so many bytes of JSON, then so many raw bytes. It knows "start", "load" and "run" (one input's bytes → one
 * output's bytes) by their names; everything else it needs to know comes in its arguments.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

extern const char *TfLiteVersion(void);
extern TfLiteModel *TfLiteModelCreateFromFileWithErrorReporter(const char *, Reporter *, void *);
extern TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
extern void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t);
extern void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions *, Reporter *, void *);
extern void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);
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

static TfLiteInterpreter *load(const char *path, int threads, int xnnpack) {
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

static void limit(int what, rlim_t most) {
    struct rlimit both;
    if (getrlimit(what, &both) == 0) {
        if (both.rlim_max == RLIM_INFINITY || both.rlim_max > most) both.rlim_max = most;
        both.rlim_cur = both.rlim_max;
        setrlimit(what, &both);
    }
}

int main(int count, char **arguments) {
    if (count != 4) {
        fputs("usage: runner MODEL THREADS XNNPACK\n", stderr);
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
            interpreter = load(arguments[1], atoi(arguments[2]), arguments[3][0] == '1');
            if (interpreter) answer_loaded(interpreter);
            else answer_error("the file cannot be loaded");
        } else if (strstr(header, "\"do\": \"run\"") && interpreter) {
            run(interpreter, data, lengths[1]);
        } else {
            answer_error("an unknown request");
        }
        free(header);
        free(data);
    }
    _exit(0); /* the interpreter of a corrupt file may crash on its way out */
}
