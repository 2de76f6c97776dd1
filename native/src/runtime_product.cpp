// Operators of our own in graphs that ONNX Runtime runs on the processor, domain "io.assay":
//
//   Product(a, b, c, rows, more, gate) -> c + op(a) op(b), matrices; attributes transA and transB
//     (not both) and activation: of the result, 0 none, 1 relu, 2 gelu by tanh. Where transA is 0,
//     leading axes of a [..., k] are rows. c, optional, is [n] or [1, n], then every row's, or has
//     the shape of the result. float32; sums as in matrix_product.h. more, optional, is added too;
//     it has the shape of the result, or, with rows [r] int64, is [r, n]: row i of it is added to
//     row rows[i] of the result, one after the other, not with an activation; a negative row counts
//     from the end. gate, optional, not with rows, has the shape of the result, which is 0 where
//     gate is not above 0.
//
//   SmallProducts(a, b): products of many small matrices; attributes a, b and y [4] say which axis
//     of each value is the outer, the inner, the row and the column axis, so that nothing is ever
//     transposed; another axis has size 1. Sums as in small_products.h.
//
// Product is for matrices that are computed or change from run to run, which the runtime
// multiplies well below the speed of those that it packs when it compiles. SmallProducts is for
// attention over few positions: of products of 3 by 32 by 3 the runtime makes four in a
// microsecond.
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

#include "runtime_api.h"
#include "support.h"

using namespace assay::runtime;

namespace {

using assay::kGrokPanel;
using assay::ProductJob;

struct Product {
  Table api;
  int64_t trans_a, trans_b, activation;
};

// Memory of a calling thread, which its later products use again.
class Room {
 public:
  Room() = default;
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  ~Room() { std::free(at_); }

  float* of(int64_t floats) {
    if (floats > size_) {
      std::free(at_);
      size_ = 0;
      at_ = static_cast<float*>(std::aligned_alloc(
          kLine, (static_cast<size_t>(floats) * sizeof(float) + kLine - 1) / kLine * kLine));
      if (at_ == nullptr) throw std::bad_alloc();
      size_ = floats;
    }
    return at_;
  }

 private:
  static constexpr size_t kLine = 64;
  float* at_ = nullptr;
  int64_t size_ = 0;
};

int64_t pieces(int64_t n, int64_t of) { return (n + of - 1) / of; }

// Symbols of a graph may stand for one size and values have another; nothing else has shown that.
void require(Table api, bool fits) {
  if (!fits) {
    throw Failure{status_of(api, "io.assay: what meets in a product has shapes that do not fit")};
  }
}

// Adds rows of `more` to some of Y.
void add_rows(Table api, const ProductJob& j, const Input& rows, const float* more) {
  for (int64_t i = 0; i < rows.elements(); i++, more += j.n) {
    int64_t row = reinterpret_cast<const int64_t*>(rows.data)[i];
    if (row < 0) row += j.m;
    if (row < 0 || row >= j.m) {
      throw Failure{status_of(api, "io.assay: a row that is not there is added to a product")};
    }
    float* to = j.out + row * j.n;
    for (int64_t c = 0; c < j.n; c++) to[c] += more[c];
  }
}

struct Tasks {
  const void* job;
  assay::Task task;
};

void run_task(void* tasks, size_t task) {
  const Tasks& t = *static_cast<const Tasks*>(tasks);
  t.task(t.job, static_cast<int64_t>(task));
}

void run_all(Table api, const void* context, assay::Task task, const void* job, int64_t count) {
  Tasks tasks{job, task};
  parallel(api, context, run_task, count, &tasks, true);
}

// Tasks that there are to be at least, where there is work for them.
constexpr int64_t kTasks = 16;
constexpr int64_t kRowTasks = 32;

// Panels from which on they are tasks enough where the left matrix has few rows.
constexpr int64_t kFewPanels = 4;

// Elements of a right matrix of which a copy is made for sums over rows; io.assay.engine.graph
// .OwnProducts knows it too.
constexpr int64_t kMostCopied = 1 << 24;

// Cuts sums over rows so that there are some tasks however small the result is; by shapes alone, so
// that no bit depends on threads.
void cut(ProductJob& j) {
  constexpr int64_t kLeast = 512;
  const int64_t even = pieces(j.m, pieces(j.m, assay::kProductRows));
  j.block_rows = std::min(assay::kProductRows, pieces(even, 12) * 12);
  j.row_blocks = pieces(j.m, j.block_rows);
  j.blocks = j.row_blocks * pieces(pieces(j.n, kGrokPanel), assay::kProductPanels);
  j.segments = std::min(pieces(kTasks, j.blocks), std::max(j.k / kLeast, int64_t{1}));
  j.segment = pieces(j.k, j.segments);
  j.segments = pieces(j.k, j.segment);
}

Status create_product(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    Product p{api, 0, 0, 0};
    call(api, kAttributeInteger, info, "transA", &p.trans_a);
    call(api, kAttributeInteger, info, "transB", &p.trans_b);
    call(api, kAttributeInteger, info, "activation", &p.activation);
    *kernel = new Product(p);
  });
}

Status compute_product(void* kernel, void* context) {
  const Product& p = *static_cast<const Product*>(kernel);
  return guard(p.api, [&] {
    static thread_local Room room;
    const Input a(p.api, context, 0);
    const Input b(p.api, context, 1);
    const Input c(p.api, context, 2);
    const Input rows(p.api, context, 3);
    const Input more(p.api, context, 4);
    const Input gate(p.api, context, 5);
    ProductJob j{};
    j.a = a.data;
    j.b = b.data;
    j.c = c.data;
    j.k = p.trans_a ? a.dims[0] : a.dims[a.rank - 1];
    j.n = b.dims[p.trans_b ? 0 : 1];
    j.m = j.k == 0 ? 0 : a.elements() / j.k;
    j.b_row = p.trans_b ? 1 : j.n;
    j.b_column = p.trans_b ? j.k : 1;
    j.c_row = c.data == nullptr || c.elements() == j.n ? 0 : j.n;
    j.more = rows.data == nullptr ? more.data : nullptr;
    j.activation = static_cast<assay::Activation>(p.activation);
    j.gate = gate.data;
    const auto fits = [&](const Input& x) {
      return x.data == nullptr || x.elements() == j.m * j.n;
    };
    require(p.api, b.rank == 2 && b.dims[p.trans_b ? 1 : 0] == j.k);
    require(p.api, (j.c_row == 0 || fits(c)) && fits(gate));
    require(p.api, rows.data == nullptr ? fits(more) : more.elements() == rows.elements() * j.n);
    Input like = a;
    if (p.trans_a) like.dims[0] = j.m;
    like.dims[like.rank - 1] = j.n;
    j.out = output(p.api, context, like);
    if (j.m == 0 || j.n == 0) return;
    const int64_t panels = pieces(j.n, kGrokPanel);
    const assay::Kernels& kernels = assay::kernels();
    const auto run = [&](assay::Task task, int64_t count) {
      run_all(p.api, context, task, &j, count);
    };
    const auto pack_all = [&] {
      j.packed = room.of(panels * j.k * kGrokPanel);
      run(kernels.product_pack, panels);
    };
    if (!p.trans_a && j.m <= assay::kProductFew && panels >= kFewPanels) {
      run(kernels.product_panel, panels);
    } else if (!p.trans_a) {
      pack_all();
      const int64_t blocks = pieces(j.m, assay::kProductBlock);
      const int64_t shares =
          blocks > 4 ? pieces(blocks, 4) * 4 : blocks;  // about equal for threads
      j.block_rows = pieces(pieces(j.m, shares), 12) * 12;
      j.row_blocks = pieces(j.m, j.block_rows);
      j.panels = pieces(panels, pieces(kRowTasks, j.row_blocks));
      run(kernels.product_rows, j.row_blocks * pieces(panels, j.panels));
    } else if (cut(j); j.segments > 1 || j.k * j.n > kMostCopied) {
      j.sums = room.of(j.segments * panels * j.m * kGrokPanel);
      run(kernels.product_sums, j.segments * j.blocks);
      run(kernels.product_merge, pieces(j.m, assay::kProductMerged));
    } else {
      pack_all();
      j.row_blocks = pieces(j.m, assay::kProductTurned);
      j.panels = pieces(panels, pieces(kTasks, j.row_blocks));
      run(kernels.product_turned, j.row_blocks * pieces(panels, j.panels));
    }
    if (rows.data != nullptr) add_rows(p.api, j, rows, more.data);
  });
}

struct Small {
  Table api;
  int64_t a[4], b[4], y[4];
};

assay::Apart apart(const Input& of, const int64_t* axes) {
  int64_t steps[kMostAxes] = {};
  int64_t step = 1;
  for (size_t axis = of.rank; axis-- > 0; step *= of.dims[axis]) steps[axis] = step;
  return {steps[axes[0]], steps[axes[1]], steps[axes[2]], steps[axes[3]]};
}

Status create_small(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    auto read = [&](const char* name, int64_t* to) {
      size_t size = 4;
      call(api, kAttributeIntegers, info, name, to, &size);
    };
    Small small{};
    small.api = api;
    read("a", small.a);
    read("b", small.b);
    read("y", small.y);
    *kernel = new Small(small);
  });
}

Status compute_small(void* kernel, void* context) {
  const Small& s = *static_cast<const Small*>(kernel);
  return guard(s.api, [&] {
    const Input a(s.api, context, 0);
    const Input b(s.api, context, 1);
    assay::SmallJob j{};
    j.at_a = a.data;
    j.at_b = b.data;
    j.inner = a.dims[s.a[1]];
    j.count = a.dims[s.a[0]] * j.inner;
    j.m = a.dims[s.a[2]];
    j.k = a.dims[s.a[3]];
    j.n = b.dims[s.b[3]];
    Input like = a;
    std::fill(like.dims, like.dims + like.rank, 1);
    like.dims[s.y[0]] = a.dims[s.a[0]];
    like.dims[s.y[1]] = j.inner;
    like.dims[s.y[2]] = j.m;
    like.dims[s.y[3]] = j.n;
    j.at_y = output(s.api, context, like);
    j.a = apart(a, s.a);
    j.b = apart(b, s.b);
    j.y = apart(like, s.y);
    const auto rows = [&] { return j.b.column == 1 && j.y.column == 1; };
    if (!rows() && j.a.row == 1 && j.y.row == 1) {  // the transposed product has them in one piece
      std::swap(j.at_a, j.at_b);
      std::swap(j.a, j.b);
      std::swap(j.m, j.n);
      for (assay::Apart* x : {&j.a, &j.b, &j.y}) std::swap(x->row, x->column);
    }
    j.dots = !rows();
    if (j.dots && !(j.a.column == 1 && j.b.row == 1)) {
      throw std::logic_error("matrices that lie in no form");
    }
    run_all(s.api, context, assay::kernels().small_products, &j,
            pieces(j.count, assay::kSmallProducts));
  });
}

}  // namespace

Operator assay::runtime::small_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "SmallProducts"; };
  o.destroy = [](void* kernel) { delete static_cast<Small*>(kernel); };
  o.create_with_status = create_small;
  o.compute_with_status = compute_small;
  return o;
}

Operator assay::runtime::product_operator() {
  Operator o{};
  o.name = [](const Operator*) { return "Product"; };
  o.inputs = [](const Operator*) -> size_t { return 6; };
  o.input_type = [](const Operator*, size_t index) { return index == 3 ? kInteger : kFloat; };
  o.input_is_optional = [](const Operator*, size_t index) { return index >= 2 ? 1 : 0; };
  o.destroy = [](void* kernel) { delete static_cast<Product*>(kernel); };
  o.create_with_status = create_product;
  o.compute_with_status = compute_product;
  return o;
}
