/* close.h - why a connection ends: one list makes the enum, the metric label and the text of the log.
 *
 * The text names the likely mistake and the cure, because it is often the only thing that a user sees. */
#ifndef PENSTOCK_CLOSE_H
#define PENSTOCK_CLOSE_H

#define PS_CLOSE_MAP(XX)                                                                           \
    XX(NONE, "none", "not closed")                                                                 \
    XX(CLIENT_GONE, "client_gone", "the client closed the connection")                             \
    XX(BROKER_GONE, "broker_gone", "the broker closed the connection")                             \
    XX(BROKER_UNREACHABLE, "broker_unreachable", "no connection to the broker")                    \
    XX(DRAINED, "drained", "the proxy is shutting down and every answer has been sent")            \
    XX(DRAIN_DEADLINE, "drain_deadline", "the proxy is shutting down and answers did not come")    \
    XX(TLS_HELLO, "tls_hello",                                                                     \
       "the client began a TLS handshake on a plaintext listener: set security.protocol=PLAINTEXT")    \
    XX(HTTP_REQUEST, "http_request",                                                               \
       "the client sent an HTTP request to a Kafka port (the admin interface is on another one)")  \
    XX(FRAME_TOO_LARGE, "frame_too_large",                                                         \
       "a request is longer than limits.frame (not Kafka traffic, or the limit is too low)")       \
    XX(FRAME_LENGTH, "frame_length", "a frame's length is negative or too short for its header")   \
    XX(MALFORMED_REQUEST, "malformed_request", "a request does not follow its schema")             \
    XX(MALFORMED_RESPONSE, "malformed_response", "a response does not follow its schema")          \
    XX(CORRELATION, "correlation", "the broker answered something that was not asked")             \
    XX(CLIENT_LEFT_WAITING, "client_left_waiting",                                                 \
       "the client closed while a Produce waited; what was not forwarded is dropped")              \
    XX(IDLE, "idle", "nothing moved for limits.idle")                                              \
    XX(MEMORY, "memory",                                                                           \
       "limits.memory is exhausted, or smaller than a response that must be kept whole")        \
    XX(SLOW_CLIENT, "slow_client",                                                                 \
       "the client did not read a response whose memory others were waiting for")                  \
    XX(BREAKER, "breaker",                                                                         \
       "the broker has not answered a Produce for upstream.breaker.timeout, and its breaker is open") \
    XX(CONNECTION_LIMIT, "connection_limit", "limits.connections is reached")                      \
    XX(IO_ERROR, "io_error", "the socket failed")

enum ps_close {
#define XX(name, label, text) PS_CLOSE_##name,
    PS_CLOSE_MAP(XX)
#undef XX
        PS_CLOSE_COUNT
};

/* The label of penstock_errors_total{reason}, and the sentence for the log. Both static. */
const char *ps_close_label(enum ps_close reason);
const char *ps_close_text(enum ps_close reason);

#endif
