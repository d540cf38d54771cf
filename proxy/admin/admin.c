/* admin.c - the admin HTTP server: routes, the token, bounded bodies, and answers as text or JSON.
 *
 * One thread of libmicrohttpd serves all requests in turn. A request is looked up in `routes`; a path that is not there
 * is 404, a method that its path does not take is 405. Every error is a JSON document {"error": "..."}. */
#include "admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin_view.h"
#include "alloc.h"
#include "clock.h"
#include "config_load.h"
#include "config_units.h"
#include "log.h"
#include "waiters.h"

#define BODY_MAX        (64 * 1024)
#define CONNECTIONS_MAX 64
#define IDLE_S          10
#define WAIT_MAX        (60 * PS_SECOND) /* ?wait= of the flags; longer ones are cut */
#define ETAG_LEN        20               /* of 16 hex digits in quotes */
#define MESSAGES_MAX    (32 * 1024) /* of a configuration that is refused */

struct ps_admin {
    struct ps_proxy *proxy;
    struct MHD_Daemon *daemon;
    struct ps_waiters *waiters;
    char *token; /* NULL: none is asked for */
    ps_ns started_at;
    uint16_t port;
};

/* One request while its body comes in, and its answer. */
struct exchange {
    struct ps_admin *admin;
    struct MHD_Connection *connection;
    const char *rest; /* of the path, behind the route's */
    char *body;
    size_t body_len;
    bool too_long;
    unsigned status;
    const char *type, *allow; /* allow: the methods that the path takes, for 405 */
    char *answer; /* of malloc */
    size_t answer_len;
    char etag[ETAG_LEN]; /* empty: none */
    ps_ns wait_until;    /* it waits, or has waited; 0: not asked for yet */
    bool suspended;      /* no answer yet: it is handled again later */
};

/* ------------------------------------------------------------------------------------------------------ answers */

static void answer_json(struct exchange *x, unsigned status, json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(document);
    PS_ASSERT(text != NULL);
    x->status = status;
    x->type = "application/json";
    x->answer = text;
    x->answer_len = strlen(text);
}

static void answer_error(struct exchange *x, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void answer_error(struct exchange *x, unsigned status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    answer_json(x, status, json_pack("{s:s}", "error", text));
}

/* ------------------------------------------------------------------------------------------------------- the view */

struct gathered {
    struct ps_admin_view view;
    const struct ps_config *config;
    struct ps_control_status *control;
    uint16_t *ports;
    struct ps_broker *brokers;
};

static void gather(struct gathered *g, struct ps_admin *admin)
{
    struct ps_proxy *proxy = admin->proxy;
    size_t channel_count = 0;
    struct ps_channel *const *channels = ps_proxy_channels(proxy, &channel_count);
    g->config = ps_proxy_config(proxy);
    g->control = ps_control_status(ps_proxy_control(proxy));
    g->ports = ps_alloc(g->config->listener_count, sizeof(*g->ports));
    for (size_t i = 0; i < g->config->listener_count; i++) {
        g->ports[i] = ps_proxy_port(proxy, i);
    }
    g->brokers = ps_alloc(PS_VIEW_BROKERS_MAX, sizeof(*g->brokers));
    struct ps_divert_status divert;
    ps_proxy_divert_status(proxy, &divert);
    size_t broker_count = ps_cluster_list(ps_proxy_cluster(proxy), g->brokers, PS_VIEW_BROKERS_MAX);
    g->view = (struct ps_admin_view){
        .now = ps_now(),
        .started_at = admin->started_at,
        .config = g->config,
        .control = g->control,
        .channels = channels,
        .channel_count = channel_count,
        .ports = g->ports,
        .brokers = g->brokers,
        .broker_count = broker_count < PS_VIEW_BROKERS_MAX ? broker_count : PS_VIEW_BROKERS_MAX,
        .divert = divert,
    };
}

static void release(struct gathered *g)
{
    ps_config_put(g->config);
    free(g->control);
    free(g->ports);
    free(g->brokers);
}

/* ------------------------------------------------------------------------------------------------------- handlers */

static void get_index(struct exchange *x)
{
    static const char text[] = "Penstock " PENSTOCK_VERSION "\n\n"
                               "GET  /metrics          Prometheus text\n"
                               "GET  /healthz          200 while every thread turns\n"
                               "GET  /readyz           200 while a broker can be reached and addresses are known\n"
                               "GET  /api/v1/state     everything, as JSON\n"
                               "GET  /api/v1/flags     how much applications should send that sample by themselves\n"
                               "GET  /api/v1/scale/POLICY   how many consumers are wanted (?topic=, ?group=)\n"
                               "POST /api/v1/bypass    {\"on\": true}: policies off\n"
                               "POST /api/v1/reload    reads the configuration file again\n";
    x->status = MHD_HTTP_OK;
    x->type = "text/plain; charset=utf-8";
    x->answer = ps_alloc_text(text);
    x->answer_len = sizeof(text) - 1;
}

static void get_metrics(struct exchange *x)
{
    struct gathered g;
    gather(&g, x->admin);
    FILE *out = open_memstream(&x->answer, &x->answer_len);
    PS_ASSERT(out != NULL);
    ps_metrics_render(out, &g.view);
    (void)fclose(out);
    x->status = MHD_HTTP_OK;
    x->type = "text/plain; version=0.0.4; charset=utf-8";
    release(&g);
}

static void get_state(struct exchange *x)
{
    struct gathered g;
    gather(&g, x->admin);
    answer_json(x, MHD_HTTP_OK, ps_state_render(&g.view));
    release(&g);
}

/* True if the client has what it would be given. W/ may stand before a tag that a cache has weakened. */
static bool has_etag(struct exchange *x)
{
    const char *has = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    return has != NULL && (strcmp(has, "*") == 0 || strstr(has, x->etag) != NULL);
}

/* ?wait=30s: until when an answer may wait for news. False: that is no duration, and the answer says so. */
static bool read_wait(struct exchange *x)
{
    const char *wait = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "wait");
    uint64_t length = 0;
    if (x->wait_until != 0) {
        return true;
    }
    if (wait != NULL && ps_quantity_read(PS_QUANTITY_DURATION, wait, &length) != PS_QUANTITY_OK) {
        answer_error(x, MHD_HTTP_BAD_REQUEST, "wait: %s", ps_quantity_help(PS_QUANTITY_DURATION));
        return false;
    }
    x->wait_until = ps_now() + (length < WAIT_MAX ? length : WAIT_MAX);
    return true;
}

/* Whoever has the newest may wait for another. */
static void get_flags(struct exchange *x)
{
    uint64_t version = ps_control_flags_version(ps_proxy_control(x->admin->proxy)); /* before what it stands for */
    struct gathered g;
    if (!read_wait(x)) {
        return;
    }
    gather(&g, x->admin);
    json_t *document = ps_flags_render(&g.view);
    release(&g);
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    PS_ASSERT(text != NULL);
    snprintf(x->etag, sizeof(x->etag), "\"%016llx\"", (unsigned long long)ps_hash(text, strlen(text)));
    free(text);
    if (!has_etag(x)) {
        answer_json(x, MHD_HTTP_OK, document);
        return;
    }
    json_decref(document);
    if (ps_now() < x->wait_until) {
        x->suspended = ps_waiters_add(x->admin->waiters, x->connection, version, x->wait_until);
        if (!x->suspended) {
            x->etag[0] = '\0';
            answer_error(x, MHD_HTTP_SERVICE_UNAVAILABLE, "%d requests wait already", PS_WAITERS_MAX);
        }
        return;
    }
    x->status = MHD_HTTP_NOT_MODIFIED;
    x->type = "application/json";
}

static void get_scale(struct exchange *x)
{
    struct gathered g;
    gather(&g, x->admin);
    const char *topic = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "topic");
    const char *group = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "group");
    json_t *document = ps_scale_render(&g.view, x->rest, topic, group);
    if (document != NULL) {
        answer_json(x, MHD_HTTP_OK, document);
    } else {
        answer_error(x, MHD_HTTP_NOT_FOUND, "there is no policy %.200s", x->rest);
    }
    release(&g);
}

static void get_health(struct exchange *x)
{
    struct gathered g;
    char stuck[64];
    gather(&g, x->admin);
    if (ps_view_stuck(&g.view, stuck, sizeof(stuck))) {
        answer_json(x, MHD_HTTP_SERVICE_UNAVAILABLE, json_pack("{s:s, s:s}", "status", "stuck", "thread", stuck));
    } else {
        answer_json(x, MHD_HTTP_OK, json_pack("{s:s}", "status", "ok"));
    }
    release(&g);
}

static void get_ready(struct exchange *x)
{
    char why[256] = "";
    bool ready = ps_proxy_ready(x->admin->proxy, why, sizeof(why));
    struct ps_control_status *control = ps_control_status(ps_proxy_control(x->admin->proxy));
    json_t *signals = json_array();
    for (size_t i = 0; i < control->policy_count; i++) {
        const struct ps_policy_status *policy = &control->policies[i];
        json_t *age = policy->signal_age == PS_NEVER ? json_null()
                                                     : json_real((double)policy->signal_age / (double)PS_SECOND);
        json_array_append_new(signals, json_pack("{s:s, s:s, s:o}", "policy", policy->policy, "topic", policy->topic,
                                                 "signal_age", age));
    }
    json_t *body = json_pack("{s:b, s:o}", "ready", ready, "signals", signals);
    if (!ready) {
        json_object_set_new(body, "why", json_string(why));
    }
    free(control);
    answer_json(x, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, body);
}

static void post_bypass(struct exchange *x)
{
    json_error_t mistake;
    json_t *body = json_loadb(x->body, x->body_len, 0, &mistake);
    json_t *on = json_object_get(body, "on");
    if (body == NULL) {
        answer_error(x, MHD_HTTP_BAD_REQUEST, "the body is not JSON: line %d: %s", mistake.line, mistake.text);
    } else if (!json_is_boolean(on)) {
        answer_error(x, MHD_HTTP_BAD_REQUEST, "the body must be {\"on\": true} or {\"on\": false}");
    } else {
        ps_proxy_bypass(x->admin->proxy, json_is_true(on));
        answer_json(x, MHD_HTTP_OK, json_pack("{s:b}", "bypass", json_is_true(on)));
    }
    json_decref(body);
}

/* The messages of a refused configuration come one per line. */
static json_t *lines_of(char *text)
{
    json_t *list = json_array();
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        json_t *string = json_string(line);
        json_array_append_new(list, string != NULL ? string : json_string("(not UTF-8)"));
    }
    return list;
}

static void post_reload(struct exchange *x)
{
    char *messages = ps_alloc(1, MESSAGES_MAX);
    if (ps_proxy_reload_file(x->admin->proxy, messages, MESSAGES_MAX)) {
        answer_json(x, MHD_HTTP_OK, json_pack("{s:b}", "reloaded", true));
    } else {
        answer_json(x, MHD_HTTP_BAD_REQUEST,
                    json_pack("{s:s, s:o}", "error", "the configuration was not loaded; the old one stays in force",
                              "messages", lines_of(messages)));
    }
    free(messages);
}

/* -------------------------------------------------------------------------------------------------------- routing */

static const struct route {
    const char *path; /* one that ends with a slash stands for what begins with it; "/" itself does not */
    bool post;
    bool open; /* answered without the token, for probes that have none */
    void (*handle)(struct exchange *);
} routes[] = {
    {"/", false, false, get_index},
    {"/metrics", false, false, get_metrics},
    {"/healthz", false, true, get_health},
    {"/readyz", false, true, get_ready},
    {"/api/v1/state", false, false, get_state},
    {"/api/v1/flags", false, false, get_flags},
    {"/api/v1/scale/", false, false, get_scale},
    {"/api/v1/bypass", true, false, post_bypass},
    {"/api/v1/reload", true, false, post_reload},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(routes); i++) {
        size_t len = strlen(routes[i].path);
        bool open_end = len > 1 && routes[i].path[len - 1] == '/';
        if (open_end ? strncmp(routes[i].path, path, len) == 0 : strcmp(routes[i].path, path) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

/* Takes the same time for every wrong token, so that it cannot be guessed letter by letter. */
static bool same_token(const char *given, const char *wanted)
{
    size_t given_len = strlen(given), wanted_len = strlen(wanted);
    unsigned char different = given_len != wanted_len;
    for (size_t i = 0; i < given_len; i++) {
        different |= (unsigned char)(given[i] ^ wanted[wanted_len == 0 ? 0 : i % wanted_len]);
    }
    return different == 0;
}

static bool may_ask(const struct ps_admin *admin, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    if (admin->token == NULL) {
        return true;
    }
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    return header != NULL && strncasecmp(header, scheme, sizeof(scheme) - 1) == 0 &&
           same_token(header + sizeof(scheme) - 1, admin->token);
}

/* A page in a browser may post here without being asked who it is; but it cannot hide where it comes from. */
static bool is_foreign_page(struct MHD_Connection *connection)
{
    const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (origin == NULL) {
        return false;
    }
    const char *authority = strstr(origin, "://");
    return authority == NULL || host == NULL || strcasecmp(authority + 3, host) != 0;
}

static void serve(struct exchange *x, struct MHD_Connection *connection, const char *path, const char *method)
{
    const struct route *route = find_route(path);
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    if (!may_ask(x->admin, connection) && (route == NULL || !route->open)) {
        answer_error(x, MHD_HTTP_UNAUTHORIZED, "a bearer token is needed: Authorization: Bearer ...");
    } else if (route == NULL) {
        answer_error(x, MHD_HTTP_NOT_FOUND, "there is nothing at %.200s; GET / lists what there is", path);
    } else if (route->post ? !post : !get) {
        x->allow = route->post ? "POST" : "GET, HEAD";
        answer_error(x, MHD_HTTP_METHOD_NOT_ALLOWED, "%s takes %s", path, x->allow);
    } else if (x->too_long) {
        answer_error(x, MHD_HTTP_CONTENT_TOO_LARGE, "the body is longer than %d bytes", BODY_MAX);
    } else if (route->post && is_foreign_page(connection)) {
        answer_error(x, MHD_HTTP_FORBIDDEN, "requests from pages of other origins are not taken");
    } else {
        x->connection = connection;
        x->rest = path + strlen(route->path);
        route->handle(x);
    }
}

static enum MHD_Result send_answer(struct exchange *x, struct MHD_Connection *connection)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        x->answer_len, x->answer, x->answer == NULL ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        return MHD_NO;
    }
    x->answer = NULL; /* the response's now */
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, x->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, x->etag[0] == '\0' ? "no-store" : "no-cache");
    if (x->etag[0] != '\0') {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, x->etag);
    }
    if (x->status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    }
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (x->status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    } else if (x->allow != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, x->allow);
    }
    enum MHD_Result result = MHD_queue_response(connection, x->status, response);
    MHD_destroy_response(response);
    return result;
}

/* -------------------------------------------------------------------------------------------------- libmicrohttpd */

static bool announces_too_much(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length != NULL && strtoull(length, NULL, 10) > BODY_MAX;
}

/* Called once when the head is there, then for every piece of the body, then once more at its end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **request)
{
    struct exchange *x = *request;
    (void)version;
    if (x == NULL) {
        x = ps_alloc(1, sizeof(*x));
        x->admin = cls;
        *request = x;
        x->too_long = announces_too_much(connection);
        if (!x->too_long) {
            return MHD_YES;
        }
    } else if (*data_len > 0) {
        if (*data_len > BODY_MAX - x->body_len) {
            return MHD_NO; /* longer than it could have announced: the connection closes */
        }
        x->body = ps_alloc_more(x->body, x->body_len, x->body_len + *data_len, 1);
        memcpy(x->body + x->body_len, data, *data_len);
        x->body_len += *data_len;
        *data_len = 0;
        return MHD_YES;
    }
    x->suspended = false;
    serve(x, connection, path, method);
    return x->suspended ? MHD_YES : send_answer(x, connection);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *request;
    (void)cls;
    (void)connection;
    (void)code;
    if (x != NULL) {
        free(x->body);
        free(x->answer);
        free(x);
        *request = NULL;
    }
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *format, va_list args)
{
    char text[512];
    (void)cls;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    ps_log(PS_LOG_DEBUG, "admin", "text=%s", text);
}

/* ----------------------------------------------------------------------------------------------- start and stop */

/* A listening socket of our own, because libmicrohttpd does not say why it could not make one. -1: error says why. */
static int open_socket(const struct ps_host_port *at, char *error, size_t error_size)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    snprintf(port, sizeof(port), "%u", (unsigned)at->port);
    int failed = getaddrinfo(at->host, port, &hints, &found);
    if (failed != 0) {
        snprintf(error, error_size, "admin.bind: cannot resolve %s: %s", at->host, gai_strerror(failed));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, CONNECTIONS_MAX) != 0) {
        snprintf(error, error_size, "admin.bind: cannot listen on %s:%s: %s%s", at->host, port, strerror(errno),
                 errno == EADDRINUSE ? " (is another Penstock running? set admin.bind to a free port)" : "");
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char port[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
    }
    return (uint16_t)strtoul(port, NULL, 10);
}

static uint64_t flags_version(void *control)
{
    return ps_control_flags_version(control);
}

static void admin_free(struct ps_admin *admin)
{
    if (admin->waiters != NULL) {
        ps_waiters_stop(admin->waiters);
        ps_waiters_free(admin->waiters);
    }
    free(admin->token);
    free(admin);
}

struct ps_admin *ps_admin_start(struct ps_proxy *proxy, const struct ps_config *config, char *error, size_t error_size)
{
    int fd = open_socket(&config->admin, error, error_size);
    if (fd < 0) {
        return NULL;
    }
    struct ps_admin *admin = ps_alloc(1, sizeof(*admin));
    admin->proxy = proxy;
    admin->started_at = ps_now();
    admin->port = port_of(fd);
    admin->token = config->admin_token == NULL ? NULL : ps_alloc_text(config->admin_token);
    admin->waiters = ps_waiters_start(flags_version, ps_proxy_control(proxy));
    if (admin->waiters != NULL) {
        admin->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
            NULL, on_request, admin, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
    }
    if (admin->daemon == NULL) {
        snprintf(error, error_size, "cannot start the admin server on port %u", (unsigned)admin->port);
        close(fd);
        admin_free(admin);
        return NULL;
    }
    return admin;
}

void ps_admin_stop(struct ps_admin *admin)
{
    if (admin != NULL) {
        ps_waiters_stop(admin->waiters);
        MHD_stop_daemon(admin->daemon);
        ps_waiters_free(admin->waiters);
        admin->waiters = NULL;
        admin_free(admin);
    }
}

uint16_t ps_admin_port(const struct ps_admin *admin)
{
    return admin->port;
}
