/* tr_line.c: the ends of a connection, and cutting it. */
#include "tr_line.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool name_end(tr_line_end_t *out, const struct sockaddr *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(out, 0, sizeof(*out));
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        memcpy(out->address, mapped, sizeof(mapped));
        memcpy(out->address + sizeof(mapped), &in.sin_addr, sizeof(in.sin_addr));
        out->port = in.sin_port;
        return true;
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        memcpy(out->address, &in6.sin6_addr, sizeof(in6.sin6_addr));
        out->scope = in6.sin6_scope_id;
        out->port = in6.sin6_port;
        return true;
    }
    return false;
}

bool tr_line_name(tr_line_t *out, int number, const struct sockaddr *here, const struct sockaddr *there)
{
    out->number = number;
    return name_end(&out->here, here) && name_end(&out->there, there);
}

int tr_cutter_open(tr_cutter_t *out)
{
    int err;

    out->nothing = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    out->held = out->nothing >= 0 ? fcntl(out->nothing, F_DUPFD_CLOEXEC, 0) : -1;
    if (out->held >= 0) {
        return 0;
    }
    err = errno;
    if (out->nothing >= 0) {
        close(out->nothing);
    }
    return err;
}

void tr_cutter_close(tr_cutter_t *cutter)
{
    if (cutter->held >= 0) {
        close(cutter->held);
    }
    close(cutter->nothing);
}

typedef int (*ask_fn)(int, struct sockaddr *, socklen_t *);

static bool is_end(int number, ask_fn ask, const tr_line_end_t *expected)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    tr_line_end_t end;

    return ask(number, (struct sockaddr *)&address, &len) == 0 && name_end(&end, (struct sockaddr *)&address) &&
           memcmp(end.address, expected->address, sizeof(end.address)) == 0 && end.scope == expected->scope &&
           end.port == expected->port;
}

/* It has one descriptor less again, so that its owner ends it when he closes his. */
static void let_go(tr_cutter_t *cutter)
{
    struct stat facts;

    /* Who closes any descriptor of a file gives up all locks that his process has on it, a database's for instance. */
    if (fstat(cutter->held, &facts) != 0 || S_ISREG(facts.st_mode)) {
        cutter->held = fcntl(cutter->nothing, F_DUPFD_CLOEXEC, 0);
        return;
    }
    (void)dup3(cutter->nothing, cutter->held, O_CLOEXEC);
}

bool tr_cutter_cut(tr_cutter_t *cutter, const tr_line_t *line)
{
    struct linger at_once = {1, 0};

    if (cutter->held < 0) {
        cutter->held = fcntl(cutter->nothing, F_DUPFD_CLOEXEC, 0);
    }
    if (cutter->held < 0) {
        return false;
    }
    if (dup3(line->number, cutter->held, O_CLOEXEC) < 0) {
        return errno == EBADF;
    }
    if (is_end(cutter->held, getpeername, &line->there) && is_end(cutter->held, getsockname, &line->here)) {
        (void)setsockopt(cutter->held, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        (void)shutdown(cutter->held, SHUT_RDWR);
    }
    let_go(cutter);
    return true;
}
