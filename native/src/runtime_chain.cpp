// The operator "Chain" (domain "io.assay"): element-wise operators and sums over rows, many at
// once.
//
//   Chain(inputs...) -> outputs..., float32, and Chain64, float64. Of elements [..., columns];
//   attributes:
//   columns: of a row; 0: rows do not matter, nothing is or reads a row or a column
//   kinds [inputs]: ChainKind of each input, one at least of which has all elements
//   steps [5 * steps]: ChainOp, two operands, which output it is or -1, its buffer. Operands are
//     numbers of values: those of the inputs, then those of the steps before.
//
//   shape: of the outputs; empty: that of an input that has all elements
//
// Numbers of rows, as outputs, have the shape with a last axis of 1.
// io.assay.engine.graph.OwnChains makes them.
#include <algorithm>
#include <vector>

#include "runtime_api.h"
#include "support.h"

using namespace assay::runtime;

namespace {

using assay::ChainKind;
using assay::ChainOp;
using assay::ChainStep;

struct Chain {
  Table api;
  bool wide;
  int64_t columns;
  std::vector<ChainKind> kinds;
  std::vector<ChainStep> steps;
  std::vector<int64_t> shape;
};

std::vector<int64_t> integers(Table api, const void* info, const char* name) {
  size_t size = 0;
  call(api, kAttributeIntegers, info, name, static_cast<int64_t*>(nullptr), &size);
  std::vector<int64_t> values(size);
  call(api, kAttributeIntegers, info, name, values.data(), &size);
  return values;
}

bool is_number(ChainKind kind) { return kind == ChainKind::kColumn || kind == ChainKind::kNumber; }

template <bool Wide>
Status create_chain(const Operator*, Table api, const void* info, void** kernel) {
  return guard(api, [&] {
    Chain chain{api, Wide, 0, {}, {}, integers(api, info, "shape")};
    call(api, kAttributeInteger, info, "columns", &chain.columns);
    for (int64_t kind : integers(api, info, "kinds")) {
      chain.kinds.push_back(static_cast<ChainKind>(kind));
    }
    const std::vector<int64_t> code = integers(api, info, "steps");
    std::vector<ChainKind> kinds = chain.kinds;
    for (size_t i = 0; i + 5 <= code.size(); i += 5) {
      const ChainOp op = static_cast<ChainOp>(code[i]);
      const ChainKind a = kinds.at(static_cast<size_t>(code[i + 1]));
      const ChainKind b = kinds.at(static_cast<size_t>(code[i + 2]));
      if (Wide && op == ChainOp::kTanh) {
        throw Failure{status_of(api, "io.assay: Chain64 has no tanh")};
      }
      const bool sum = op == ChainOp::kSum || op == ChainOp::kMean || op == ChainOp::kLargest;
      const bool number = sum || (op != ChainOp::kSpread && is_number(a) && is_number(b));
      kinds.push_back(number ? ChainKind::kColumn : ChainKind::kFull);
      chain.steps.push_back({op, kinds.back(), static_cast<int32_t>(code[i + 1]),
                             static_cast<int32_t>(code[i + 2]), static_cast<int32_t>(code[i + 3]),
                             static_cast<int32_t>(code[i + 4])});
    }
    *kernel = new Chain(chain);
  });
}

void run_task(void* job, size_t task) { assay::kernels().chain(job, static_cast<int64_t>(task)); }

// Of files whose types are not those of their values nothing else has shown that.
void check_sizes(const Chain& chain, const Input& like, const std::vector<int64_t>& sizes) {
  const int64_t all = like.elements();
  for (size_t i = 0; i < sizes.size(); i++) {
    const ChainKind kind = chain.kinds[i];
    const int64_t size = kind == ChainKind::kFull     ? all
                         : kind == ChainKind::kNumber ? 1
                         : kind == ChainKind::kRow    ? chain.columns
                                                      : all / chain.columns;
    if (sizes[i] != size) {
      throw Failure{
          status_of(chain.api, "io.assay: a value has another shape than the graph says")};
    }
  }
}

Status compute_chain(void* kernel, void* context) {
  constexpr int64_t kTask = 1 << 14;  // elements
  const Chain& chain = *static_cast<const Chain*>(kernel);
  return guard(chain.api, [&] {
    Input like(chain.api, context, 0);
    std::vector<const void*> inputs;
    std::vector<int64_t> sizes;
    for (size_t i = 0; i < chain.kinds.size(); i++) {
      const Input input(chain.api, context, i);
      inputs.push_back(input.data);
      sizes.push_back(input.elements());
      if (chain.kinds[i] == ChainKind::kFull) like = input;
    }
    if (!chain.shape.empty()) {
      like.rank = chain.shape.size();
      std::copy(chain.shape.begin(), chain.shape.end(), like.dims);
    }
    check_sizes(chain, like, sizes);
    std::vector<void*> outputs(chain.steps.size());
    for (const ChainStep& step : chain.steps) {
      if (step.output < 0) continue;
      Input shape = like;
      if (step.kind == ChainKind::kColumn) shape.dims[shape.rank - 1] = 1;
      const size_t index = static_cast<size_t>(step.output);
      outputs[index] = output(chain.api, context, shape, index);
    }
    assay::ChainJob j{};
    j.elements = like.elements();
    j.columns = chain.columns == 0 ? assay::kChainPiece : chain.columns;
    j.rows = (j.elements + j.columns - 1) / j.columns;
    j.task_rows = std::max(int64_t{1}, kTask / j.columns);
    j.wide = chain.wide;
    j.inputs = static_cast<int64_t>(inputs.size());
    j.kinds = chain.kinds.data();
    j.input = inputs.data();
    j.steps = static_cast<int64_t>(chain.steps.size());
    j.step = chain.steps.data();
    j.output = outputs.data();
    parallel(chain.api, context, run_task, (j.rows + j.task_rows - 1) / j.task_rows, &j, true);
  });
}

template <bool Wide>
Operator chain() {
  constexpr int kVariadic = 2;
  Operator o{};
  o.name = [](const Operator*) { return Wide ? "Chain64" : "Chain"; };
  o.inputs = [](const Operator*) -> size_t { return 1; };
  o.input_type = o.output_type = [](const Operator*, size_t) { return Wide ? kDouble : kFloat; };
  o.input_is_optional = [](const Operator*, size_t) { return kVariadic; };
  o.output_is_optional = [](const Operator*, size_t) { return kVariadic; };
  for (auto& of : o.variadic) of = [](const Operator*) { return 1; };
  o.destroy = [](void* kernel) { delete static_cast<Chain*>(kernel); };
  o.create_with_status = create_chain<Wide>;
  o.compute_with_status = compute_chain;
  return o;
}

}  // namespace

Operator assay::runtime::chain_operator() { return chain<false>(); }

Operator assay::runtime::wide_chain_operator() { return chain<true>(); }
