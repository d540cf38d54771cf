/* config_file.c - reads one small file whole, without trusting what the path leads to. */
#include "config_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads until the end or until there is more than max. The number of bytes, or -1. */
static ssize_t read_all(int fd, char *text, size_t max)
{
    size_t len = 0;
    while (len <= max) {
        ssize_t n = read(fd, text + len, max + 1 - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            return (ssize_t)len;
        }
        len += (size_t)n;
    }
    errno = EFBIG;
    return -1;
}

char *ps_file_read(const char *path, size_t max, bool any, size_t *len)
{
    /* O_NONBLOCK: opening a pipe that nobody writes to must not stop the program; a configuration may come from one. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | (any ? 0 : O_NONBLOCK));
    if (fd < 0) {
        return NULL;
    }
    struct stat stat;
    char *text = NULL;
    ssize_t n = -1;
    if (fstat(fd, &stat) == 0) {
        if (S_ISDIR(stat.st_mode)) {
            errno = EISDIR;
        } else if (!any && !S_ISREG(stat.st_mode)) {
            errno = EINVAL;
        } else {
            text = malloc(max + 2);
            n = text == NULL ? -1 : read_all(fd, text, max);
        }
    }
    int error = errno;
    close(fd);
    if (n < 0) {
        free(text);
        errno = error;
        return NULL;
    }
    text[n] = '\0';
    *len = (size_t)n;
    return text;
}
