// What is used of ONNX Runtime's C API (version 17, which newer runtimes keep), declared by its
// place in the runtime's table of functions, and what the operators of our own have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace assay::runtime {

constexpr uint32_t kApi = 17;       // first version with parallel_for
constexpr uint32_t kOperator = 16;  // first version whose kernels return a status
constexpr int kFloat = 1;           // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
constexpr int kInteger = 7;         // ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
constexpr int kDouble = 11;         // ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
constexpr int kMostAxes = 8;

using Status = void*;  // NULL: success
using Table = void* const*;

struct ApiBase {
  Table (*api)(uint32_t version);
  const char* (*version)();
};

enum Entry {
  kCreateStatus = 0,
  kCreateDomain = 26,
  kAddToDomain = 27,
  kAddDomain = 28,
  kTensorData = 51,
  kDimensionCount = 61,
  kDimensions = 62,
  kTypeAndShape = 65,
  kAttributeFloat = 85,
  kAttributeInteger = 86,
  kContextInput = 90,
  kContextOutput = 91,
  kReleaseTypeAndShape = 99,
  kAttributeIntegers = 163,
  kParallelFor = 274,
};

struct Failure {
  Status status;
};

template <class... Arguments>
void call(Table api, Entry entry, Arguments... arguments) {
  const Status status = reinterpret_cast<Status (*)(Arguments...)>(api[entry])(arguments...);
  if (status) throw Failure{status};
}

constexpr int kFail = 1;  // ORT_FAIL

inline Status status_of(Table api, const char* message) {
  return reinterpret_cast<Status (*)(int, const char*)>(api[kCreateStatus])(kFail, message);
}

template <class Body>
Status guard(Table api, Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Failure& failure) {
    return failure.status;
  } catch (...) {
    return status_of(api, "io.assay: an unexpected exception");
  }
}

// The runtime's OrtCustomOp of version 16.
struct Operator {
  uint32_t version = kOperator;
  void* (*create)(const Operator*, Table,
                  const void*) = nullptr;  // older form of create_with_status
  const char* (*name)(const Operator*);
  const char* (*provider)(const Operator*) = [](const Operator*) -> const char* { return nullptr; };
  int (*input_type)(const Operator*, size_t) = [](const Operator*, size_t) { return kFloat; };
  size_t (*inputs)(const Operator*) = [](const Operator*) -> size_t { return 2; };
  int (*output_type)(const Operator*, size_t) = [](const Operator*, size_t) { return kFloat; };
  size_t (*outputs)(const Operator*) = [](const Operator*) -> size_t { return 1; };
  void (*compute)(void*, void*) = nullptr;  // older form of compute_with_status
  void (*destroy)(void*);
  int (*input_is_optional)(const Operator*, size_t) = [](const Operator*, size_t) { return 0; };
  int (*output_is_optional)(const Operator*, size_t) = [](const Operator*, size_t) { return 0; };
  int (*input_memory)(const Operator*, size_t) = [](const Operator*, size_t) { return 0; };
  int (*variadic[4])(const Operator*) = {};
  Status (*create_with_status)(const Operator*, Table, const void*, void**);
  Status (*compute_with_status)(void*, void*);
};

struct Input {
  const float* data;
  int64_t dims[kMostAxes];
  size_t rank;

  // One that may be missing has no data.
  Input(Table api, const void* context, size_t index) : data(nullptr), rank(0) {
    void* value = nullptr;
    void* address = nullptr;
    void* shape = nullptr;
    call(api, kContextInput, context, index, &value);
    if (value == nullptr) return;
    call(api, kTensorData, value, &address);
    call(api, kTypeAndShape, static_cast<const void*>(value), &shape);
    call(api, kDimensionCount, static_cast<const void*>(shape), &rank);
    rank = std::min(rank, size_t{kMostAxes});
    call(api, kDimensions, static_cast<const void*>(shape), static_cast<int64_t*>(dims), rank);
    reinterpret_cast<void (*)(void*)>(api[kReleaseTypeAndShape])(shape);
    data = static_cast<const float*>(address);
  }

  int64_t elements() const {
    int64_t n = 1;
    for (size_t i = 0; i < rank; i++) n *= dims[i];
    return n;
  }
};

// An output, of the shape of an input.
inline float* output(Table api, void* context, const Input& like, size_t index = 0) {
  void* value = nullptr;
  void* address = nullptr;
  call(api, kContextOutput, context, index, static_cast<const int64_t*>(like.dims), like.rank,
       &value);
  call(api, kTensorData, value, &address);
  return static_cast<float*>(address);
}

// Tasks go to the session's threads in as many pieces as there are threads, or each by itself.
inline void parallel(Table api, const void* context, void (*task)(void*, size_t), int64_t count,
                     void* job, bool each = false) {
  const size_t n = static_cast<size_t>(count);
  call(api, kParallelFor, context, task, n, each ? n : size_t{0}, job);
}

// "Product" and "SmallProducts", in runtime_product.cpp, "Chain" and "Chain64", in
// runtime_chain.cpp.
Operator product_operator();
Operator small_operator();
Operator chain_operator();
Operator wide_chain_operator();

}  // namespace assay::runtime
