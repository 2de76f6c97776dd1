// Behind the entry points: errors, streams, workspace and argument checks. Baseline flags only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>

#include "internal.h"

namespace assay {

// A failure on its way to the ABI, with its text already set.
struct Failure {
  int32_t status;
};

// Sets the thread's error text and throws Failure.
[[noreturn]] void fail(int32_t status, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
void set_error(const char* text) noexcept;

// Runs the body of an entry point; no exception passes.
template <class Body>
int32_t guard(Body body) noexcept {
  try {
    body();
    return ASSAY_OK;
  } catch (const Failure& failure) {
    return failure.status;
  } catch (const std::bad_alloc&) {
    set_error("out of memory");
    return ASSAY_ERROR_MEMORY;
  } catch (const std::system_error& error) {
    set_error(error.what());
    return ASSAY_ERROR_MEMORY;
  } catch (...) {
    set_error("internal error: an unexpected exception");
    return ASSAY_ERROR_INTERNAL;
  }
}

// The tier in use; fails if none can be chosen.
const Kernels& kernels();

// Runs tasks 0 .. count-1 and returns when all are done.
void run(assay_stream* stream, Task task, const void* job, int64_t count);

inline int32_t real_of(int32_t table) { return table == ASSAY_F64 ? ASSAY_F64 : ASSAY_F32; }
inline int64_t bytes_of(int32_t real) { return real == ASSAY_F64 ? 8 : 4; }

void check_struct(const char* function, int64_t struct_bytes, int64_t needed);

// Sizes of the networks of grokking: 1 to `most`.
constexpr int64_t kMostNumbers = 32767;
constexpr int64_t kMostWide = 65536;
void check_size(const char* function, const char* name, int64_t value, int64_t most);

void check_table(const char* function, const char* name, const assay_matrix& m);
void check_real(const char* function, const char* name, const assay_matrix& m, int64_t rows,
                int64_t columns, int32_t dtype);
void check_pointer(const char* function, const char* name, const void* pointer);

// a * b and a + b for sizes; a failure where they leave int64.
int64_t times(int64_t a, int64_t b);
int64_t plus(int64_t a, int64_t b);

// Hands out aligned pieces of a workspace, or counts them where base is NULL.
class Workspace {
 public:
  // For the query.
  Workspace() = default;
  Workspace(void* base, int64_t bytes) : base_(static_cast<unsigned char*>(base)), bytes_(bytes) {}

  template <class T>
  T* take(int64_t count) {
    return static_cast<T*>(take_bytes(times(count, sizeof(T))));
  }
  void* take_bytes(int64_t bytes);

  // Bytes needed, alignment of an arbitrary base included.
  int64_t needed() const { return used_ == 0 ? 0 : plus(used_, kAlign); }
  // Fails if a given workspace does not hold what was taken.
  void check(const char* function) const;

 private:
  static constexpr int64_t kAlign = 64;
  unsigned char* base_ = nullptr;
  int64_t bytes_ = 0;
  int64_t used_ = 0;
};

Segments segments(int64_t vocabulary, int64_t most);
int64_t packed_stride(int64_t d);
// Copies rows, zeros behind them.
void pack(const assay_matrix& m, void* to);

int64_t head_tasks(int64_t rows, Segments s);
// Merges the parts of a row in ascending order of segments.
HeadPart merge(const HeadPart* parts, int64_t count);
double log_sum_exp(const HeadPart& part);
double get(const void* data, int32_t real, int64_t i);
void put(void* data, int32_t real, int64_t i, double value);

}  // namespace assay
