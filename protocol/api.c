/* api.c - questions about an API that its row answers. */
#include "penstock/api.h"
#include "penstock/schema.h"

const struct ps_api *ps_api_find(int16_t key)
{
    if (key < 0 || key > PS_API_KEY_MAX || ps_api_table[key].name == NULL) {
        return NULL;
    }
    return &ps_api_table[key];
}

bool ps_api_knows(const struct ps_api *api, int16_t version)
{
    return version >= api->request->valid_min && version <= api->request->valid_max;
}

bool ps_api_flexible(const struct ps_api *api, int16_t version)
{
    return version >= api->flexible_since;
}

bool ps_api_response_header_tagged(const struct ps_api *api, int16_t version)
{
    return api->key != PS_API_API_VERSIONS && ps_api_flexible(api, version);
}
