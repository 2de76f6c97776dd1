#include "arguments.h"

#include <cmath>
#include <limits>

namespace assay {

void check_head(const char* f, const assay_head_rows_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  check_table(f, "head", a->head);
  check_real(f, "hidden", a->hidden, a->hidden.rows, a->head.columns, real_of(a->head.dtype));
}

void check_swap(const char* f, const assay_token_swap_topk_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  check_table(f, "embedding", a->embedding);
  const int32_t real = real_of(a->embedding.dtype);
  const int64_t audits = a->gradient.rows;
  const int64_t d = a->embedding.columns;
  check_real(f, "gradient", a->gradient, audits, d, real);
  if (!tied(*a)) {
    check_real(f, "head", a->head, a->embedding.rows, d, a->embedding.dtype);
  }
  if (a->hidden.data != nullptr) check_real(f, "hidden", a->hidden, audits, d, real);
  if ((a->alpha != nullptr || a->lse != nullptr) && audits > 0 && d > 0) {
    check_pointer(f, "hidden.data (alpha and lse need it)", a->hidden.data);
  }
  if (a->coarse.data != nullptr) {
    check_real(f, "coarse", a->coarse, a->embedding.rows, d, ASSAY_I8);
    check_pointer(f, "coarse_scale", a->coarse_scale);
    check_pointer(f, "coarse_error", a->coarse_error);
  }
  if (a->kept < 1 || a->kept > ASSAY_MAX_KEPT) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: kept is %lld; 1 to %d tokens can be kept", f,
         static_cast<long long>(a->kept), ASSAY_MAX_KEPT);
  }
}

namespace {

void check_ablation(const char* f, const assay_fourier_ablate_params* a) {
  constexpr int64_t kGroups = 255;
  check_struct(f, a->struct_bytes, sizeof *a);
  const int64_t p = a->modulus;
  if (p < 3 || p % 2 == 0) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: modulus is %lld; it must be odd and >= 3", f,
         static_cast<long long>(p));
  }
  if (a->logits.dtype != ASSAY_F32 && a->logits.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: logits has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         a->logits.dtype);
  }
  check_real(f, "logits", a->logits, times(p, p), p, a->logits.dtype);
  if (a->family_count < 0) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: family_count is %lld; it must be >= 0", f,
         static_cast<long long>(a->family_count));
  }
  if (a->group_count < 1 || a->group_count > kGroups) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: group_count is %lld; 1 to %lld groups are possible", f,
         static_cast<long long>(a->group_count), static_cast<long long>(kGroups));
  }
}

}  // namespace

void check_fourier(const char* f, const assay_fourier_ablate_params* a) {
  check_pointer(f, "args", a);
  int count = 0;
  for (const assay_fourier_ablate_params* each = a; each != nullptr; each = each->next) {
    if (++count > ASSAY_MAX_ABLATIONS) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: more than %d follow each other by next", f,
           ASSAY_MAX_ABLATIONS);
    }
    check_ablation(f, each);
    if (each->modulus != a->modulus || each->logits.data != a->logits.data ||
        each->logits.dtype != a->logits.dtype || each->logits.stride != a->logits.stride) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: next has another modulus or other logits; they must be one's",
           f);
    }
  }
}

void check_adamw(const char* f, const assay_adamw_params* args, const assay_matrix* gradients,
                 const assay_matrix* parameters, const assay_matrix* first,
                 const assay_matrix* second) {
  check_pointer(f, "args", args);
  check_pointer(f, "gradients", gradients);
  check_pointer(f, "parameters", parameters);
  check_pointer(f, "first", first);
  check_pointer(f, "second", second);
  const assay_adamw_params& s = *args;
  check_struct(f, s.struct_bytes, sizeof s);
  const assay_matrix& p = *parameters;
  if (p.dtype != ASSAY_F32 && p.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: parameters has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         p.dtype);
  }
  check_real(f, "parameters", p, p.rows, p.columns, p.dtype);
  check_real(f, "gradients", *gradients, p.rows, p.columns, p.dtype);
  check_real(f, "first", *first, p.rows, p.columns, p.dtype);
  check_real(f, "second", *second, p.rows, p.columns, p.dtype);
  if (!(s.beta1 >= 0 && s.beta1 < 1) || !(s.beta2 >= 0 && s.beta2 < 1) || !(s.epsilon >= 0)) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: beta1 is %g, beta2 %g, epsilon %g; betas are in [0,1), epsilon is >= 0", f, s.beta1,
         s.beta2, s.epsilon);
  }
  if (!std::isfinite(s.learning_rate) || !std::isfinite(s.weight_decay) || s.step < 1) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: learning_rate is %g, weight_decay %g, step %lld; both must be finite, step >= 1", f,
         s.learning_rate, s.weight_decay, static_cast<long long>(s.step));
  }
}

void check_attention(const char* f, const assay_suffix_attention_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  const int64_t d = a->queries.columns;
  if (a->sequences < 0 || a->positions < 1 || a->positions > std::numeric_limits<int32_t>::max() ||
      a->heads < 1 || d < 0 || d % a->heads != 0 || d / a->heads > ASSAY_MAX_HEAD_WIDTH) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: sequences is %lld, positions %lld, heads %lld, queries have %lld columns; sequences "
         ">= 0, positions 1 to 2147483647 and heads of 1 to %d columns each are needed",
         f, static_cast<long long>(a->sequences), static_cast<long long>(a->positions),
         static_cast<long long>(a->heads), static_cast<long long>(d), ASSAY_MAX_HEAD_WIDTH);
  }
  if (a->queries.dtype != ASSAY_F32 && a->queries.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: queries has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         a->queries.dtype);
  }
  if (!std::isfinite(a->scale)) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: scale is %g; it must be finite", f, a->scale);
  }
}

void check_attention_past(const char* f, const assay_suffix_attention_params& a) {
  check_pointer(f, "starts", a.starts);
  if (a.past_keys.data == nullptr) return;
  check_pointer(f, "prompts", a.prompts);
  const int32_t dtype = a.queries.dtype;
  check_real(f, "past_keys", a.past_keys, a.past_keys.rows, a.queries.columns, dtype);
  check_real(f, "past_values", a.past_values, a.past_keys.rows, a.queries.columns, dtype);
}

void check_patch(const char* f, const assay_patch_rows_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  const int64_t columns = a->live.columns;
  if (a->count < 0 || a->heads < 1 || columns < 0 || columns % a->heads != 0 ||
      columns / a->heads > ASSAY_MAX_HEAD_WIDTH) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: count is %lld, heads %lld, live has %lld columns; count >= 0 and heads of at most %d "
         "columns each are needed",
         f, static_cast<long long>(a->count), static_cast<long long>(a->heads),
         static_cast<long long>(columns), ASSAY_MAX_HEAD_WIDTH);
  }
  if (a->live.dtype != ASSAY_F32 && a->live.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: live has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         a->live.dtype);
  }
}

void check_patched(const char* f, const assay_patch_rows_params& a, const assay_matrix* middle,
                   const assay_matrix* normed) {
  const int32_t dtype = a.live.dtype;
  const int64_t d = a.output.columns, copies = times(a.count, a.heads);
  check_real(f, "live", a.live, a.live.rows, a.live.columns, dtype);
  if (a.bank.data != nullptr) check_real(f, "bank", a.bank, a.bank.rows, a.live.columns, dtype);
  check_real(f, "output", a.output, a.live.columns, d, dtype);
  check_real(f, "stream", a.stream, a.live.rows, d, dtype);
  check_pointer(f, "middle", middle);
  check_real(f, "middle", *middle, copies, d, dtype);
  if (copies > 0) {
    check_pointer(f, "rows", a.rows);
    check_pointer(f, "sources", a.sources);
  }
  if (normed == nullptr) return;
  check_real(f, "normed", *normed, copies, d, dtype);
  if ((a.norm != ASSAY_LAYER_NORM && a.norm != ASSAY_RMS_NORM) || !(a.epsilon >= 0)) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: norm is %d, epsilon %g; normed needs ASSAY_LAYER_NORM or ASSAY_RMS_NORM and an "
         "epsilon >= 0",
         f, a.norm, a.epsilon);
  }
}

void check_edges(const char* f, const assay_edge_scores_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  const assay_matrix& c = a->changes;
  if (c.dtype != ASSAY_F32 && c.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: changes has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         c.dtype);
  }
  check_real(f, "changes", c, c.rows, c.columns, c.dtype);
  check_real(f, "gradients", a->gradients, a->gradients.rows, c.columns, c.dtype);
  if (a->width < 1 || c.columns % a->width != 0) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: width is %lld; it must divide the %lld columns of changes", f,
         static_cast<long long>(a->width), static_cast<long long>(c.columns));
  }
  if (a->gradients.rows > 0) check_pointer(f, "before", a->before);
}

}  // namespace assay
