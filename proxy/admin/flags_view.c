/* flags_view.c - the document of GET /api/v1/flags: for each policy what an application should know that can help.
 *
 * Nothing in it moves while things are as they are, so that its ETag changes only with its content. */
#include "admin_view.h"

static const char *const levels[] = {"ok", "slow", "reject"};

static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_string("(not UTF-8)");
}

static json_t *render(enum ps_level level, double rate, bool sampled)
{
    json_t *one = json_object();
    json_object_set_new(one, "level", json_string(levels[level]));
    json_object_set_new(one, "sampling_rate", json_real(rate));
    json_object_set_new(one, "sampled_here", json_boolean(sampled));
    return one;
}

json_t *ps_flags_render(const struct ps_admin_view *view)
{
    json_t *document = json_object();
    for (size_t i = 0; i < view->config->policy_count; i++) {
        const char *name = view->config->policies[i].name;
        json_t *topics = json_object();
        enum ps_level level = PS_LEVEL_OK;
        double rate = 1.0;
        bool sampled = false;
        for (size_t k = 0; k < view->control->policy_count; k++) {
            const struct ps_policy_status *p = &view->control->policies[k];
            bool rests = p->level == PS_LEVEL_OK && p->sampling_rate >= 1.0 && !p->sampled_here;
            if (strcmp(p->policy, name) == 0 && !rests) {
                level = p->level > level ? p->level : level;
                rate = p->sampling_rate < rate ? p->sampling_rate : rate;
                sampled = sampled || p->sampled_here;
                json_t *topic = text(p->topic);
                json_object_set_new(topics, json_string_value(topic),
                                    render(p->level, p->sampling_rate, p->sampled_here));
                json_decref(topic);
            }
        }
        json_t *one = render(level, rate, sampled);
        json_object_set_new(one, "topics", topics);
        json_object_set_new(document, name, one);
    }
    return document;
}
