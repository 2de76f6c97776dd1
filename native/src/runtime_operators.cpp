// Operators of our own in graphs that ONNX Runtime runs on the processor, domain "io.assay":
//
//   MaxPoolGradient(x [N, C, H, W], g [N, C, h, w]) -> [N, C, H, W]: each window of a MaxPool hands
//     its g to the first of its largest elements in row order, NaN never being the largest, to its
//     first if none is above -infinity; attributes kernel_shape, strides, dilations [2] and pads
//     [4] as of MaxPool. A plane has fewer than 2^31 elements.
//   MaskedGradient(g, y) -> g where y > 0, else 0 (also where y is NaN), of one shape.
//   LayerNorm(x [..., d], scale [d], bias [d], optional) -> of the shape of x: LayerNormalization
//     over the last axis; attribute epsilon. First the mean, then the mean square of what differs
//     from it, both as sums of 16 lanes.
//   RowSums(x [n, ...]) -> [1, ...]: sums over the first axis, of up to 16 segments of rows, each
//     in ascending order, and then of these; attribute keep: 0 leaves the first axis out.
//   Product(a, b, ...) and SmallProducts(a, b): runtime_product.cpp.
//   Chain(...): runtime_chain.cpp.
//
// All float32. A result does not depend on threads: a plane, a row or a chunk is one task's, and
// windows add in row order. io.assay.engine.graph.OwnOperators puts them in place of the standard
// operators that do the same, which stay wherever this library was not built.
//
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "assay.h"
#include "runtime_api.h"

using namespace assay::runtime;

namespace {

constexpr int64_t kChunk = 16384;

struct Pool {
  Table api;
  int64_t kernel[2], strides[2], dilations[2], pads[4];
};

struct PoolJob {
  const Pool& pool;
  const float* x;
  const float* g;
  float* out;
  int64_t height, width, rows, columns;
};

// Where a window lies along an axis: places of it from the first inside the input to behind the
// last.
struct Range {
  int64_t from, to;
};

Range inside(const Pool& p, int axis, int64_t start, int64_t size) {
  const int64_t step = p.dilations[axis];
  const int64_t from = start < 0 ? (-start + step - 1) / step : 0;
  const int64_t to = size <= start ? 0 : (size - start + step - 1) / step;
  return {from, std::min(p.kernel[axis], to)};
}

// The largest so far of n windows side by side meets the element `at + i * step` of each. Choices
// without jumps, which nobody could foresee.
void meet(const float* __restrict x, int64_t at, int64_t step, int64_t n, float* __restrict best,
          int32_t* __restrict place) {
  for (int64_t i = 0; i < n; i++) {
    const int64_t here = at + i * step;
    const float v = x[here];
    const int32_t larger = -static_cast<int32_t>(v > best[i]);
    const int32_t bits = __builtin_bit_cast(int32_t, v) & larger;
    best[i] = __builtin_bit_cast(float, bits | (__builtin_bit_cast(int32_t, best[i]) & ~larger));
    place[i] = (static_cast<int32_t>(here) & larger) | (place[i] & ~larger);
  }
}

// One plane.
void pool_task(void* data, size_t task) {
  constexpr int64_t kWindows = 128;
  const PoolJob& j = *static_cast<const PoolJob*>(data);
  const Pool& p = j.pool;
  const int64_t plane = static_cast<int64_t>(task);
  const float* x = j.x + plane * j.height * j.width;
  const float* g = j.g + plane * j.rows * j.columns;
  float* out = j.out + plane * j.height * j.width;
  float best[kWindows];
  int32_t place[kWindows];
  std::memset(out, 0, sizeof(float) * static_cast<size_t>(j.height * j.width));
  const int64_t stride = p.strides[1];
  for (int64_t r = 0; r < j.rows; r++) {
    const int64_t top = r * p.strides[0] - p.pads[0];
    const Range down = inside(p, 0, top, j.height);
    for (int64_t first = 0; first < j.columns && down.from < down.to; first += kWindows) {
      const int64_t n = std::min(kWindows, j.columns - first);
      const int64_t left = first * stride - p.pads[1];
      for (int64_t i = 0; i < n; i++) {
        const Range along = inside(p, 1, left + i * stride, j.width);
        const int64_t row = (top + down.from * p.dilations[0]) * j.width;
        const int64_t at = row + left + i * stride + along.from * p.dilations[1];
        best[i] = -std::numeric_limits<float>::infinity();
        place[i] = along.from < along.to ? static_cast<int32_t>(at) : -1;
      }
      for (int64_t a = down.from; a < down.to; a++) {
        const int64_t row = (top + a * p.dilations[0]) * j.width;
        for (int64_t b = 0; b < p.kernel[1]; b++) {
          // The windows whose place b is inside.
          const int64_t column = left + b * p.dilations[1];
          const int64_t from = column < 0 ? std::min(n, (-column + stride - 1) / stride) : 0;
          const int64_t room = j.width - column;
          const int64_t to = room <= 0 ? 0 : std::min(n, (room + stride - 1) / stride);
          if (from < to) {
            meet(x, row + column + from * stride, stride, to - from, best + from, place + from);
          }
        }
      }
      for (int64_t i = 0; i < n; i++) {
        if (place[i] >= 0) out[place[i]] += g[r * j.columns + first + i];
      }
    }
  }
}

Status create_pool(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    auto read = [&](const char* name, int64_t* to, size_t size) {
      call(api, kAttributeIntegers, info, name, to, &size);
    };
    Pool pool{};
    pool.api = api;
    read("kernel_shape", pool.kernel, 2);
    read("strides", pool.strides, 2);
    read("dilations", pool.dilations, 2);
    read("pads", pool.pads, 4);
    *kernel = new Pool(pool);
  });
}

Status compute_pool(void* kernel, void* context) {
  const Pool& pool = *static_cast<const Pool*>(kernel);
  return guard(pool.api, [&] {
    const Input x(pool.api, context, 0);
    const Input g(pool.api, context, 1);
    float* out = output(pool.api, context, x);
    PoolJob job{pool, x.data, g.data, out, x.dims[2], x.dims[3], g.dims[2], g.dims[3]};
    parallel(pool.api, context, pool_task, x.dims[0] * x.dims[1], &job);
  });
}

struct MaskJob {
  const float* g;
  const float* y;
  float* out;
  int64_t elements;
};

void mask_task(void* data, size_t task) {
  const MaskJob& j = *static_cast<const MaskJob*>(data);
  const int64_t first = static_cast<int64_t>(task) * kChunk;
  const int64_t n = std::min(j.elements - first, kChunk);
  const float* __restrict g = j.g + first;
  const float* __restrict y = j.y + first;
  float* __restrict out = j.out + first;
  for (int64_t i = 0; i < n; i++) {
    const float v = g[i];
    out[i] = y[i] > 0 ? v : 0;
  }
}

Status create_mask(const Operator*, Table api, const void*, void** kernel) {
  return guard(api, [&] { *kernel = new Table(api); });
}

Status compute_mask(void* kernel, void* context) {
  const Table api = *static_cast<const Table*>(kernel);
  return guard(api, [&] {
    const Input g(api, context, 0);
    const Input y(api, context, 1);
    MaskJob job{g.data, y.data, output(api, context, g), g.elements()};
    parallel(api, context, mask_task, (job.elements + kChunk - 1) / kChunk, &job);
  });
}

struct Norm {
  Table api;
  float epsilon;
};

struct NormJob {
  const float* x;
  const float* scale;
  const float* bias;  // or NULL
  float* out;
  int64_t rows, columns;
  float epsilon;
};

constexpr int64_t kNormRows = 8;

// Sum of value(c) over the columns, lane by lane, then of the lanes by halves.
template <class Value>
float sum_of(int64_t columns, Value value) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    for (int l = 0; l < kLanes; l++) lanes[l] += value(c + l);
  }
  for (int l = 0; c < columns; c++, l++) lanes[l] += value(c);
  for (int n = kLanes / 2; n > 0; n /= 2) {
    for (int l = 0; l < n; l++) lanes[l] += lanes[l + n];
  }
  return lanes[0];
}

void norm_task(void* data, size_t task) {
  const NormJob& j = *static_cast<const NormJob*>(data);
  const int64_t first = static_cast<int64_t>(task) * kNormRows;
  const int64_t d = j.columns;
  for (int64_t row = first; row < std::min(j.rows, first + kNormRows); row++) {
    const float* __restrict x = j.x + row * d;
    float* __restrict out = j.out + row * d;
    const float mean = sum_of(d, [&](int64_t c) { return x[c]; }) / static_cast<float>(d);
    const float square = sum_of(d, [&](int64_t c) { return (x[c] - mean) * (x[c] - mean); });
    const double variance = static_cast<double>(square) / static_cast<double>(d);
    const float factor = static_cast<float>(1 / std::sqrt(variance + j.epsilon));
    for (int64_t c = 0; c < d; c++) out[c] = (x[c] - mean) * factor * j.scale[c];
    for (int64_t c = 0; j.bias != nullptr && c < d; c++) out[c] += j.bias[c];
  }
}

Status create_norm(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    float epsilon = 0;
    call(api, kAttributeFloat, info, "epsilon", &epsilon);
    *kernel = new Norm{api, epsilon};
  });
}

Status compute_norm(void* kernel, void* context) {
  const Norm& norm = *static_cast<const Norm*>(kernel);
  return guard(norm.api, [&] {
    const Input x(norm.api, context, 0);
    const Input scale(norm.api, context, 1);
    const Input bias(norm.api, context, 2);
    float* out = output(norm.api, context, x);
    const int64_t columns = scale.elements();
    const int64_t rows = columns == 0 ? 0 : x.elements() / columns;
    NormJob job{x.data, scale.data, bias.data, out, rows, columns, norm.epsilon};
    parallel(norm.api, context, norm_task, (rows + kNormRows - 1) / kNormRows, &job);
  });
}

Operator norm_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "LayerNorm"; };
  o.inputs = [](const Operator*) -> size_t { return 3; };
  o.input_is_optional = [](const Operator*, size_t index) { return index == 2 ? 1 : 0; };
  o.destroy = [](void* kernel) { delete static_cast<Norm*>(kernel); };
  o.create_with_status = create_norm;
  o.compute_with_status = compute_norm;
  return o;
}

Operator pool_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "MaxPoolGradient"; };
  o.destroy = [](void* kernel) { delete static_cast<Pool*>(kernel); };
  o.create_with_status = create_pool;
  o.compute_with_status = compute_pool;
  return o;
}

Operator mask_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "MaskedGradient"; };
  o.destroy = [](void* kernel) { delete static_cast<Table*>(kernel); };
  o.create_with_status = create_mask;
  o.compute_with_status = compute_mask;
  return o;
}

struct Sums {
  Table api;
  int64_t keep;
};

struct SumsJob {
  const float* x;
  float* parts;  // [segment, columns]
  int64_t rows, columns, segment;
};

void sums_task(void* data, size_t task) {
  const SumsJob& j = *static_cast<const SumsJob*>(data);
  const int64_t first = static_cast<int64_t>(task) * j.segment;
  float* __restrict to = j.parts + static_cast<int64_t>(task) * j.columns;
  for (int64_t row = first; row < std::min(j.rows, first + j.segment); row++) {
    const float* __restrict x = j.x + row * j.columns;
    for (int64_t c = 0; c < j.columns; c++) to[c] += x[c];
  }
}

Status create_sums(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    Sums sums{api, 1};
    call(api, kAttributeInteger, info, "keep", &sums.keep);
    *kernel = new Sums(sums);
  });
}

Status compute_sums(void* kernel, void* context) {
  constexpr int64_t kSegments = 16, kLeast = 64;
  const Sums& sums = *static_cast<const Sums*>(kernel);
  return guard(sums.api, [&] {
    const Input x(sums.api, context, 0);
    const int64_t rows = x.dims[0];
    const int64_t columns = x.elements() / rows;
    const int64_t segment = std::max(kLeast, (rows + kSegments - 1) / kSegments);
    const int64_t segments = (rows + segment - 1) / segment;
    Input like = x;
    like.dims[0] = 1;
    if (!sums.keep) {
      like.rank--;
      std::copy(x.dims + 1, x.dims + x.rank, like.dims);
    }
    float* out = output(sums.api, context, like);
    std::vector<float> parts(static_cast<size_t>(segments * columns));
    SumsJob job{x.data, parts.data(), rows, columns, segment};
    parallel(sums.api, context, sums_task, segments, &job);
    std::copy(parts.begin(), parts.begin() + columns, out);
    for (int64_t s = 1; s < segments; s++) {
      for (int64_t c = 0; c < columns; c++) out[c] += parts[static_cast<size_t>(s * columns + c)];
    }
  });
}

Operator sums_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "RowSums"; };
  o.inputs = [](const Operator*) -> size_t { return 1; };
  o.destroy = [](void* kernel) { delete static_cast<Sums*>(kernel); };
  o.create_with_status = create_sums;
  o.compute_with_status = compute_sums;
  return o;
}

// The domain of this process; sessions keep pointers to it.
void* domain(Table api) {
  static const Operator operators[] = {pool_operator(),    mask_operator(),      norm_operator(),
                                       product_operator(), small_operator(),     sums_operator(),
                                       chain_operator(),   wide_chain_operator()};
  static void* const made = [&] {
    void* domain = nullptr;
    call(api, kCreateDomain, "io.assay", &domain);
    for (const Operator& o : operators) call(api, kAddToDomain, domain, &o);
    return domain;
  }();
  return made;
}

}  // namespace

// What the runtime calls when a session takes operators from this library; the name is its own.
extern "C" ASSAY_API void* RegisterCustomOps(void* options, const ApiBase* base) {
  const Table api = base->api(kApi);
  return guard(api, [&] { call(api, kAddDomain, options, domain(api)); });
}
