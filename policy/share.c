/* share.c - weighted max-min: small needs are met in full, the rest divide what is left by weight.
 *
 * Water-filling in rounds: whoever needs less than an even split takes its need and leaves the rest to the others;
 * when a round satisfies nobody, the even split is the answer. At most count rounds for each tier, once for its minima
 * and once for the rest of its needs. */
#include "penstock/share.h"

#include <math.h>

static double share_weight(const struct ps_share *share)
{
    return share->weight > 0.0 && isfinite(share->weight) ? share->weight : 1e-9;
}

/* What is being filled up to: its minimum, or all that it needs. */
static double share_aim(const struct ps_share *share, bool minima)
{
    double need = share->need > 0.0 ? share->need : 0.0;
    double minimum = share->minimum > 0.0 ? share->minimum : 0.0;
    return minima ? fmin(minimum, need) : need;
}

static bool share_wants(const struct ps_share *share, uint32_t tier, bool minima)
{
    return share->tier == tier && share->rate < share_aim(share, minima);
}

/* The weight of those of the tier that want more; 0: nobody does. */
static double weight_wanting(const struct ps_share *shares, size_t count, uint32_t tier, bool minima)
{
    double weight = 0.0; /* summed anew: differences of doubles would leave a remainder to divide by */
    for (size_t i = 0; i < count; i++) {
        weight += share_wants(&shares[i], tier, minima) ? share_weight(&shares[i]) : 0.0;
    }
    return weight;
}

/* Fills the wants of a tier; returns what is left. */
static double fill_tier(struct ps_share *shares, size_t count, uint32_t tier, bool minima, double left)
{
    double weight;
    while (left > 0.0 && (weight = weight_wanting(shares, count, tier, minima)) > 0.0) {
        double unit = left / weight;
        bool met = false;
        for (size_t i = 0; i < count; i++) {
            double aim = share_aim(&shares[i], minima);
            bool wants = share_wants(&shares[i], tier, minima);
            if (wants && aim - shares[i].rate <= unit * share_weight(&shares[i])) {
                left -= aim - shares[i].rate;
                shares[i].rate = aim;
                met = true;
            }
        }
        if (!met) {
            for (size_t i = 0; i < count; i++) {
                bool wants = share_wants(&shares[i], tier, minima);
                shares[i].rate += wants ? unit * share_weight(&shares[i]) : 0.0;
            }
            return 0.0;
        }
    }
    return fmax(left, 0.0);
}

void ps_share_split(struct ps_share *shares, size_t count, double rate)
{
    PS_ASSERT(count >= 1);
    rate = rate > 0.0 ? rate : 0.0;
    double weight = 0.0;
    uint32_t tiers = 0;
    for (size_t i = 0; i < count; i++) {
        shares[i].rate = isfinite(rate) ? 0.0 : rate;
        weight += share_weight(&shares[i]);
        tiers = shares[i].tier >= tiers ? shares[i].tier + 1 : tiers;
    }
    if (!isfinite(rate)) {
        return;
    }
    double left = rate;
    for (uint32_t tier = 0; tier < tiers; tier++) {
        left = fill_tier(shares, count, tier, true, left);
    }
    for (uint32_t tier = 0; tier < tiers; tier++) {
        left = fill_tier(shares, count, tier, false, left);
    }
    for (size_t i = 0; i < count; i++) {
        shares[i].rate += left * share_weight(&shares[i]) / weight;
    }
}
