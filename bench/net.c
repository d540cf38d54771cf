/* net.c - see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Noreturn void net_die(const char *what, const char *reason)
{
    fprintf(stderr, "%s: %s\n", what, reason != NULL ? reason : strerror(errno));
    exit(1);
}

struct net_address net_address_parse(const char *text)
{
    struct net_address address = {0};
    const char *colon = strrchr(text, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    struct in_addr parsed;
    if (host_len == 0 || host_len >= sizeof(address.host) || port > UINT16_MAX || *end != '\0' || end == colon + 1) {
        net_die(text, "an address is HOST:PORT, as in 127.0.0.1:9092");
    }
    memcpy(address.host, text, host_len);
    if (inet_pton(AF_INET, address.host, &parsed) != 1) {
        net_die(text, "the host must be a numeric IPv4 address");
    }
    address.port = (uint16_t)port;
    return address;
}

static struct sockaddr_in socket_address(const struct net_address *address)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    inet_pton(AF_INET, address->host, &sa.sin_addr);
    return sa;
}

static int socket_new(int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) {
        net_die("socket", NULL);
    }
    return fd;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;
    if (setsockopt(fd, level, option, &on, sizeof(on)) != 0) {
        net_die("setsockopt", NULL);
    }
}

int net_listen(const struct net_address *address)
{
    int fd = socket_new(SOCK_NONBLOCK);
    struct sockaddr_in sa = socket_address(address);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT); /* one listener per thread */
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 4096) != 0) {
        net_die("listen", NULL);
    }
    return fd;
}

static int connect_with(const struct net_address *address, int flags)
{
    int fd = socket_new(flags);
    struct sockaddr_in sa = socket_address(address);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 && errno != EINPROGRESS) {
        net_die("connect", NULL);
    }
    return fd;
}

int net_connect(const struct net_address *address)
{
    return connect_with(address, SOCK_NONBLOCK);
}

int net_connect_blocking(const struct net_address *address)
{
    return connect_with(address, 0);
}

int net_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    }
    return fd;
}

unsigned long net_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        net_die("getrlimit", NULL);
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        net_die("setrlimit", NULL);
    }
    return limit.rlim_cur;
}

ps_ns net_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (ps_ns)ts.tv_sec * PS_SECOND + (ps_ns)ts.tv_nsec;
}
