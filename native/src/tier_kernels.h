// All kernels of the tier that is compiled. Includes intrinsics and our own internal-linkage
// headers only.
#pragma once

#include "adamw.h"
#include "chain.h"
#include "edge_scores.h"
#include "fourier_ablate.h"
#include "grok.h"
#include "grok_grid.h"
#include "head_backward.h"
#include "head_rows.h"
#include "matrix_product.h"
#include "patch_rows.h"
#include "small_products.h"
#include "suffix_attention.h"
#include "token_swap_coarse.h"
#include "token_swap_topk.h"

namespace {

constexpr assay::Kernels all_kernels = {
    .head_rows = head_rows_task,
    .token_swap = token_swap_task,
    .token_swap_coarse = token_swap_coarse_task,
    .token_swap_matrix = nullptr,
    .token_score = token_score_task,
    .head_backward = head_backward_task,
    .adamw = adamw_task,
    .fourier_sums = fourier_sums_task,
    .fourier_waves = fourier_waves_task,
    .fourier_loss = fourier_loss_task,
    .grok_weights = grok_weights_task,
    .grok_tables = grok_tables_task,
    .grok_pairs = grok_pairs_task,
    .grok_numbers = grok_numbers_task,
    .grok_sums = grok_sums_task,
    .grok_table_gradients = grok_table_gradients_task,
    .grok_weight_gradients = grok_weight_gradients_task,
    .grid_tables = grid_tables_task,
    .grid_attention = grid_attention_task,
    .grid_logits = grid_logits_task,
    .grid_sums = grid_sums_task,
    .suffix_attention = suffix_attention_task,
    .patch_rows = patch_rows_task,
    .edge_scores = edge_scores_task,
    .product_pack = product_pack_task,
    .product_rows = product_rows_task,
    .product_panel = product_panel_task,
    .product_turned = product_turned_task,
    .product_sums = product_sums_task,
    .product_merge = product_merge_task,
    .small_products = small_products_task,
    .chain = chain_task,
};

}  // namespace
