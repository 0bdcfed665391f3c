/* Stands for CUDA's runtime library: memory of the GPU is memory of the host, and streams do all at once.

The GPU is what FAKE_GPU names, with compute capability FAKE_CAPABILITY; FAKE_GPUS says how many there are.
FAKE_MEMORY_MIB is what can be had of its memory. At the end what was not given back goes to the file FAKE_LEAKS. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long allocated, streams;
static size_t taken;

/* Where memory of the GPU begins. */
static const void *places[1024];

static int on_gpu(const void *place) {
    for (int index = 0; index < 1024; index++)
        if (places[index] == place) return 1;
    return 0;
}

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static size_t memory(void) { return strtoul(setting("FAKE_MEMORY_MIB", "3000"), NULL, 10) << 20; }

__attribute__((destructor)) static void tell(void) {
    const char *name = getenv("FAKE_LEAKS");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (file) {
        fprintf(file, "%ld %ld", allocated, streams);
        fclose(file);
    }
}

int cudaGetDeviceCount(int *count) {
    *count = atoi(setting("FAKE_GPUS", "1"));
    return *count ? 0 : 100;
}

int cudaGetDeviceProperties(char *properties, int device) {
    memset(properties, 'x', 1032);
    strcpy(properties, setting("FAKE_GPU", "NVIDIA Tegra X1"));
    return device;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    const char *capability = setting("FAKE_CAPABILITY", "5.3");
    *value = atoi(attribute == 75 ? capability : strchr(capability, '.') + 1);
    return device;
}

int cudaRuntimeGetVersion(int *version) {
    *version = 10020;
    return 0;
}

int cudaMemGetInfo(size_t *free, size_t *total) {
    *total = memory();
    *free = *total - taken;
    return 0;
}

int cudaMalloc(void **place, size_t size) {
    if (taken + size > memory()) return 2;
    taken += size;
    *place = malloc(size);
    places[allocated++ % 1024] = *place;
    return 0;
}

int cudaFree(void *place) {
    allocated--;
    free(place);
    return 0;
}

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    if (kind == 1 ? !on_gpu(to) || on_gpu(from) : kind != 2 || on_gpu(to) || !on_gpu(from)) return 21;
    if (!stream) return 400;
    memcpy(to, from, size);
    return 0;
}

int cudaStreamCreate(void **stream) {
    streams++;
    *stream = malloc(1);
    return 0;
}

int cudaStreamSynchronize(void *stream) { return stream ? 0 : 400; }

int cudaStreamDestroy(void *stream) {
    streams--;
    free(stream);
    return 0;
}

const char *cudaGetErrorString(int error) { return error == 2 ? "out of memory" : "no CUDA-capable device is detected"; }
