/* broker.c - the log, and Kafka's own quota as the brokers have it.
 *
 * The quota (Kafka classes ClientQuotaManager, SensorAccess, Rate): records are charged first and measured over eleven
 * samples of one second; a violation mutes the connection for as long as would bring the mean back, and says so in
 * throttle_time_ms (KIP-219). */
#include "sim_world.h"

/* How long the connection that made this request is muted; 0: not at all. */
static ps_ns quota_charge(struct ps_sim *sim, struct ps_sim_quota *quota, double records)
{
    if (quota->rate <= 0.0) {
        return 0;
    }
    uint64_t second = (sim->now - PS_SIM_ZERO) / PS_SECOND + 1;
    size_t slot = second % (PS_SIM_QUOTA_WINDOWS + 1);
    if (quota->seconds[slot] != second) {
        quota->seconds[slot] = second;
        quota->counts[slot] = 0.0;
    }
    quota->counts[slot] += records;
    double sum = 0.0;
    uint64_t oldest = second;
    for (size_t i = 0; i <= PS_SIM_QUOTA_WINDOWS; i++) {
        if (quota->seconds[i] != 0 && quota->seconds[i] + PS_SIM_QUOTA_WINDOWS > second) {
            sum += quota->counts[i];
            oldest = quota->seconds[i] < oldest ? quota->seconds[i] : oldest;
        }
    }
    double window = ps_sim_seconds(sim) - (double)(oldest - 1);
    double missing = PS_SIM_QUOTA_WINDOWS - 1 - (double)(second - oldest); /* as if they had been, without records */
    window += missing > 0.0 ? missing : 0.0;
    double over = sum / window - quota->rate;
    return over > 0.0 ? ps_sim_ns(over / quota->rate * window) : 0;
}

static void append(struct ps_sim *sim, uint32_t partition, double records)
{
    sim->partitions[partition].end += (int64_t)records;
    sim->lag += records;
    ps_sim_measure_peak(sim);
}

void ps_sim_broker_receive(struct ps_sim *sim, struct ps_sim_link *link, const struct ps_sim_request *r)
{
    struct ps_sim_response *out = &link->responses[(link->response_first + link->response_count) % PS_SIM_FRAMES];
    PS_ASSERT(link->response_count < PS_SIM_FRAMES);
    out->partition = -1;
    out->due = sim->now + ps_sim_ns(sim->scenario->round_trip / 2.0);
    if (r->api_key != PS_API_PRODUCE) {
        out->len = ps_sim_put_answer(out->bytes, r);
    } else {
        ps_ns muted = quota_charge(sim, &sim->quotas[link->tenant], r->records);
        int64_t base = sim->partitions[r->partition].end;
        link->muted_until = muted > 0 ? sim->now + muted : 0;
        append(sim, (uint32_t)r->partition, r->records);
        sim->appended += r->records;
        out->len = r->acks == 0 ? 0 : ps_sim_put_produced(out->bytes, r, base, (int32_t)(muted / PS_MILLISECOND));
        out->partition = r->partition;
        out->end = base + r->records;
    }
    if (out->len > 0 && link->response_count++ == 0) {
        ps_sim_at(sim, &link->respond, out->due);
    }
}
