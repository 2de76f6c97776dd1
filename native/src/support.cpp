#include "support.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>

namespace assay {

namespace {
thread_local char error_text[512];
}

void set_error(const char* text) noexcept {
  std::snprintf(error_text, sizeof error_text, "%s", text);
}

void fail(int32_t status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error_text, sizeof error_text, format, arguments);
  va_end(arguments);
  throw Failure{status};
}

void check_struct(const char* function, int64_t struct_bytes, int64_t needed) {
  if (struct_bytes != needed) {
    fail(ASSAY_ERROR_STRUCT, "%s: struct_bytes is %lld; this library knows %lld", function,
         static_cast<long long>(struct_bytes), static_cast<long long>(needed));
  }
}

void check_size(const char* function, const char* name, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: %s is %lld; 1 to %lld are allowed", function, name,
         static_cast<long long>(value), static_cast<long long>(most));
  }
}

void check_pointer(const char* function, const char* name, const void* pointer) {
  if (pointer == nullptr) fail(ASSAY_ERROR_ARGUMENT, "%s: %s is NULL", function, name);
}

static void check_matrix(const char* function, const char* name, const assay_matrix& m) {
  if (m.rows < 0 || m.columns < 0 || m.stride < m.columns) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: %s has rows %lld, columns %lld, stride %lld; rows >= 0, columns >= 0 and stride >= "
         "columns are needed",
         function, name, static_cast<long long>(m.rows), static_cast<long long>(m.columns),
         static_cast<long long>(m.stride));
  }
  times(times(m.rows, m.stride), 8);
  if (m.data == nullptr && m.rows > 0 && m.columns > 0) check_pointer(function, name, m.data);
}

void check_table(const char* function, const char* name, const assay_matrix& m) {
  if (m.dtype != ASSAY_F32 && m.dtype != ASSAY_F64 && m.dtype != ASSAY_F16 &&
      m.dtype != ASSAY_BF16) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: %s has dtype %d; a table is ASSAY_F32, ASSAY_F64, ASSAY_F16 or ASSAY_BF16", function,
         name, m.dtype);
  }
  check_matrix(function, name, m);
  if (m.rows < 1 || m.rows > std::numeric_limits<int32_t>::max()) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: %s has %lld rows; a vocabulary has 1 to 2147483647", function,
         name, static_cast<long long>(m.rows));
  }
}

void check_real(const char* function, const char* name, const assay_matrix& m, int64_t rows,
                int64_t columns, int32_t dtype) {
  check_matrix(function, name, m);
  if (m.dtype != dtype) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: %s has dtype %d; %d is needed", function, name, m.dtype, dtype);
  }
  if (m.rows != rows || m.columns != columns) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: %s is [%lld,%lld]; [%lld,%lld] is needed", function, name,
         static_cast<long long>(m.rows), static_cast<long long>(m.columns),
         static_cast<long long>(rows), static_cast<long long>(columns));
  }
}

int64_t times(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result)) {
    fail(ASSAY_ERROR_ARGUMENT, "sizes %lld and %lld: their product does not fit in 64 bits",
         static_cast<long long>(a), static_cast<long long>(b));
  }
  return result;
}

int64_t plus(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_add_overflow(a, b, &result)) {
    fail(ASSAY_ERROR_ARGUMENT, "sizes %lld and %lld: their sum does not fit in 64 bits",
         static_cast<long long>(a), static_cast<long long>(b));
  }
  return result;
}

void* Workspace::take_bytes(int64_t bytes) {
  const int64_t at = used_;
  used_ = plus(used_, plus(bytes, kAlign - 1) / kAlign * kAlign);
  if (base_ == nullptr || needed() > bytes_) return nullptr;
  const auto past = reinterpret_cast<uintptr_t>(base_) % kAlign;
  return base_ + (past == 0 ? 0 : kAlign - past) + at;
}

void Workspace::check(const char* function) const {
  if (bytes_ < needed() || (base_ == nullptr && needed() > 0)) {
    fail(ASSAY_ERROR_WORKSPACE, "%s: workspace has %lld bytes%s; %lld are needed", function,
         static_cast<long long>(bytes_), base_ == nullptr ? " (NULL)" : "",
         static_cast<long long>(needed()));
  }
}

Segments segments(int64_t vocabulary, int64_t most) {
  const int64_t part = (vocabulary + most - 1) / most;
  const int64_t length = (part + kTile - 1) / kTile * kTile;
  return {length, (vocabulary + length - 1) / length};
}

int64_t packed_stride(int64_t d) { return times(plus(d, 31) / 32, 32); }

void pack(const assay_matrix& m, void* to) {
  const int64_t bytes = bytes_of(m.dtype);
  const int64_t stride = packed_stride(m.columns) * bytes;
  for (int64_t r = 0; r < m.rows && stride > 0; r++) {
    unsigned char* row = static_cast<unsigned char*>(to) + r * stride;
    std::memcpy(row, static_cast<const unsigned char*>(m.data) + r * m.stride * bytes,
                static_cast<size_t>(m.columns * bytes));
    std::memset(row + m.columns * bytes, 0, static_cast<size_t>(stride - m.columns * bytes));
  }
}

int64_t head_tasks(int64_t rows, Segments s) {
  return (rows + kRowBlock - 1) / kRowBlock * s.count;
}

HeadPart merge(const HeadPart* parts, int64_t count) {
  HeadPart all = parts[0];
  for (int64_t i = 1; i < count; i++) {
    const HeadPart& p = parts[i];
    all.nan |= p.nan;
    if (p.max > all.max) {
      all.second = std::fmax(all.max, p.second);
      all.best = p.best;
      all.max = p.max;
    } else {
      all.second = std::fmax(all.second, p.max);
    }
  }
  all.sum = 0;
  for (int64_t i = 0; i < count; i++) {
    // An equal maximum needs no scale; infinity - infinity would give NaN.
    all.sum +=
        parts[i].max == all.max ? parts[i].sum : parts[i].sum * std::exp(parts[i].max - all.max);
  }
  return all;
}

double log_sum_exp(const HeadPart& part) {
  if (part.nan) return std::numeric_limits<double>::quiet_NaN();
  return std::isinf(part.max) ? part.max : part.max + std::log(part.sum);
}

double get(const void* data, int32_t real, int64_t i) {
  return real == ASSAY_F64 ? static_cast<const double*>(data)[i]
                           : static_cast<double>(static_cast<const float*>(data)[i]);
}

void put(void* data, int32_t real, int64_t i, double value) {
  if (real == ASSAY_F64) {
    static_cast<double*>(data)[i] = value;
  } else {
    static_cast<float*>(data)[i] = static_cast<float>(value);
  }
}

}  // namespace assay

extern "C" const char* assay_last_error(void) { return assay::error_text; }
