/* share.c - weighted max-min: small needs are met in full, the rest divide what is left by weight.
 *
 * Water-filling in rounds: whoever needs less than an even split takes its need and leaves the rest to the others;
 * when a round satisfies nobody, the even split is the answer. At most count rounds. */
#include "penstock/share.h"

#include <math.h>

static double share_weight(const struct ps_share *share)
{
    return share->weight > 0.0 && isfinite(share->weight) ? share->weight : 1e-9;
}

/* One round: gives every open share its need if that is less than `unit` per weight. Returns whether any was. */
static bool share_round(struct ps_share *shares, size_t count, double unit, double *left)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        struct ps_share *share = &shares[i];
        double need = share->need > 0.0 ? share->need : 0.0;
        if (share->rate < 0.0 && need <= unit * share_weight(share)) {
            share->rate = need;
            *left -= need;
            any = true;
        }
    }
    return any;
}

void ps_share_split(struct ps_share *shares, size_t count, double rate)
{
    PS_ASSERT(count >= 1);
    rate = rate > 0.0 ? rate : 0.0;
    double weight_all = 0.0;
    for (size_t i = 0; i < count; i++) {
        shares[i].rate = isfinite(rate) ? -1.0 /* open */ : rate;
        weight_all += share_weight(&shares[i]);
    }
    if (!isfinite(rate)) {
        return;
    }
    double left = rate;
    double weight = weight_all;
    size_t open = count;
    while (share_round(shares, count, fmax(left, 0.0) / weight, &left)) {
        open = 0;
        weight = 0.0; /* summed anew: differences of doubles would leave a remainder to divide by */
        for (size_t i = 0; i < count; i++) {
            open += shares[i].rate < 0.0 ? 1 : 0;
            weight += shares[i].rate < 0.0 ? share_weight(&shares[i]) : 0.0;
        }
        if (open == 0) {
            break;
        }
    }
    left = fmax(left, 0.0);
    for (size_t i = 0; i < count; i++) {
        if (shares[i].rate < 0.0) {
            shares[i].rate = left * share_weight(&shares[i]) / weight;
        } else if (open == 0) {
            shares[i].rate += left * share_weight(&shares[i]) / weight_all;
        }
    }
}
