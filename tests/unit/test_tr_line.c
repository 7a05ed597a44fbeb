/*
 * A connection is cut through its number and its ends, and nothing else that has the number by then.
 */
#include "tr_line.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"

#define MANY 40

/* A connection of this machine with itself: what httpd has, and what its client has. */
typedef struct wire_t {
    int served, client;
    tr_line_t line;
} wire_t;

static tr_line_t name_of(int number)
{
    struct sockaddr_storage here, there;
    socklen_t here_len = sizeof(here), there_len = sizeof(there);
    tr_line_t line;

    assert_int_equal(getsockname(number, (struct sockaddr *)&here, &here_len), 0);
    assert_int_equal(getpeername(number, (struct sockaddr *)&there, &there_len), 0);
    assert_true(tr_line_name(&line, number, (struct sockaddr *)&here, (struct sockaddr *)&there));
    return line;
}

/* listener: bound to any address of the family, so that it could be asked by either. */
static wire_t wire_of(int listening_family, int client_family)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    int listener = socket(listening_family, SOCK_STREAM, 0);
    wire_t wire;

    assert_true(listener >= 0);
    if (listening_family == AF_INET6 && client_family == AF_INET) {
        any.sin6_addr = in6addr_any;
    }
    assert_int_equal(listening_family == AF_INET6 ? bind(listener, (struct sockaddr *)&any, sizeof(any))
                                                  : bind(listener, (struct sockaddr *)&in, sizeof(in)),
                     0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&bound, &len), 0);
    any.sin6_port = in.sin_port =
        listening_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port;
    wire.client = socket(client_family, SOCK_STREAM, 0);
    assert_int_equal(client_family == AF_INET6 ? connect(wire.client, (struct sockaddr *)&any, sizeof(any))
                                               : connect(wire.client, (struct sockaddr *)&in, sizeof(in)),
                     0);
    wire.served = accept(listener, NULL, NULL);
    assert_true(wire.served >= 0);
    close(listener);
    wire.line = name_of(wire.served);
    return wire;
}

static void drop(const wire_t *wire)
{
    close(wire->served);
    close(wire->client);
}

/* Does it still bring what the other end writes? */
static bool is_alive(const wire_t *wire)
{
    char byte = 0;

    return send(wire->served, "x", 1, MSG_NOSIGNAL) == 1 && recv(wire->client, &byte, 1, 0) == 1 &&
           send(wire->client, "y", 1, MSG_NOSIGNAL) == 1 && recv(wire->served, &byte, 1, 0) == 1 && byte == 'y';
}

static int descriptors(void)
{
    int n = 0;

    for (int i = 0; i < 1000; i++) {
        n += fcntl(i, F_GETFD) >= 0 ? 1 : 0;
    }
    return n;
}

static tr_cutter_t cutter;

static int open_cutter(void **state)
{
    return tt_setup(state) == 0 && tr_cutter_open(&cutter) == 0 ? 0 : -1;
}

static int close_cutter(void **state)
{
    tr_cutter_close(&cutter);
    return tt_teardown(state);
}

static void expect_cut(wire_t wire)
{
    int before = descriptors();
    char byte;

    assert_true(is_alive(&wire));
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_int_equal(recv(wire.client, &byte, 1, 0), 0);
    assert_int_equal(recv(wire.served, &byte, 1, 0), 0);
    assert_int_equal(send(wire.served, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(descriptors(), before);
    assert_true(tr_cutter_cut(&cutter, &wire.line)); /* again is no matter */
    drop(&wire);
    assert_int_equal(descriptors(), before - 2);
}

static void a_connection_is_cut_both_ways(void **state)
{
    (void)state;
    expect_cut(wire_of(AF_INET, AF_INET));
}

/* The last of what was written is a clean end only where all of it came. */
static void what_was_not_fetched_is_thrown_away(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    char much[16384] = {0};
    ssize_t got;

    while (send(wire.served, much, sizeof(much), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    }
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    close(wire.served);
    do {
        got = recv(wire.client, much, sizeof(much), 0);
    } while (got > 0);
    assert_int_equal(got, -1);
    assert_int_equal(errno, ECONNRESET);
    close(wire.client);
}

static void one_of_ipv6_is_cut(void **state)
{
    (void)state;
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loop = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_ipv6 = probe >= 0 && bind(probe, (struct sockaddr *)&loop, sizeof(loop)) == 0;

    if (probe >= 0) {
        close(probe);
    }
    if (!has_ipv6) {
        skip();
    }
    expect_cut(wire_of(AF_INET6, AF_INET6));
    expect_cut(wire_of(AF_INET6, AF_INET)); /* its addresses are mapped ones */
}

static void an_address_of_ipv4_is_the_same_when_it_is_mapped(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_addr.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    tr_line_t one, other;

    assert_true(tr_line_name(&one, 7, (struct sockaddr *)&in, (struct sockaddr *)&in6));
    assert_true(tr_line_name(&other, 7, (struct sockaddr *)&in6, (struct sockaddr *)&in));
    assert_memory_equal(&one.here, &other.here, sizeof(one.here));
    assert_memory_equal(&one.there, &other.there, sizeof(one.there));
    assert_memory_equal(&one.here, &one.there, sizeof(one.here));
}

static void what_has_no_address_of_its_own_has_no_name(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    tr_line_t line;

    assert_false(tr_line_name(&line, 7, (struct sockaddr *)&un, (struct sockaddr *)&in));
    assert_false(tr_line_name(&line, 7, (struct sockaddr *)&in, (struct sockaddr *)&un));
}

/* number becomes one of what, which is closed. */
static void give_number(int number, int what)
{
    assert_int_equal(dup2(what, number), number);
    close(what);
}

static void another_connection_with_the_same_number_is_left_alone(void **state)
{
    (void)state;
    wire_t old = wire_of(AF_INET, AF_INET), new = wire_of(AF_INET, AF_INET);

    give_number(old.served, new.served);
    new.served = old.served;
    assert_true(tr_cutter_cut(&cutter, &old.line));
    assert_true(is_alive(&new));
    drop(&new);
    close(old.client);
}

/* Of the two ends of one connection each has the other's names: here and there are not the same. */
static void the_other_end_of_the_connection_is_another(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    tr_line_t turned = {wire.client, wire.line.here, wire.line.there};

    assert_true(tr_cutter_cut(&cutter, &turned));
    assert_true(is_alive(&wire));
    drop(&wire);
}

static void one_that_differs_in_anything_is_another(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    tr_line_t line[6];

    for (int i = 0; i < 6; i++) {
        tr_line_end_t *end = i % 2 == 0 ? &line[i].here : &line[i].there;

        line[i] = wire.line;
        *(i < 2 ? &end->address[15] : &end->address[0]) ^= i < 4;
        end->port ^= i >= 4;
        assert_true(tr_cutter_cut(&cutter, &line[i]));
        assert_true(is_alive(&wire));
    }
    wire.line.there.scope++;
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_true(is_alive(&wire));
    drop(&wire);
}

static void what_is_closed_is_left_alone(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    int before = descriptors();

    close(wire.served);
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_int_equal(descriptors(), before - 1);
    close(wire.client);
}

static void a_pipe_or_socket_without_address_with_the_number_is_left_alone(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    int ends[2], pair[2];
    char byte = 0;

    assert_int_equal(pipe(ends), 0);
    give_number(wire.served, ends[1]);
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_int_equal(write(wire.served, "z", 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    give_number(wire.served, pair[0]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nothing else has kept the pipe open */
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_int_equal(send(wire.served, "z", 1, MSG_NOSIGNAL), 1);
    close(pair[1]);
    close(ends[0]);
    drop(&wire);
}

static struct flock lock_of(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
}

static bool is_locked_for_others(const char *path)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct flock lock = lock_of(F_WRLCK);
        int file = open(path, O_RDWR);
        _exit(file >= 0 && fcntl(file, F_SETLK, &lock) == -1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A database may have been opened meanwhile. */
static void a_file_with_the_number_keeps_its_locks(void **state)
{
    (void)state;
    char path[] = "/tmp/tr-line-XXXXXX";
    wire_t wire = wire_of(AF_INET, AF_INET), next = wire_of(AF_INET, AF_INET);
    struct flock lock = lock_of(F_WRLCK);
    int file = mkstemp(path);

    assert_true(file >= 0);
    give_number(wire.served, file);
    assert_int_equal(fcntl(wire.served, F_SETLK, &lock), 0);
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_true(is_locked_for_others(path));
    expect_cut(next); /* it works on, with another descriptor */
    close(wire.served);
    assert_false(is_locked_for_others(path));
    close(wire.client);
    unlink(path);
}

static struct rlimit used_up(void)
{
    struct rlimit before, none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

static void it_cuts_when_no_descriptor_is_free(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    struct rlimit before;
    int taken[MANY], n = 0, last = 0;
    char byte;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (struct rlimit few = {MANY, before.rlim_max}; setrlimit(RLIMIT_NOFILE, &few) == 0 && n < MANY; n++) {
        last = taken[n] = dup(wire.client);
        if (last < 0) {
            break;
        }
    }
    assert_int_equal(last, -1);
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    while (n-- > 0) {
        close(taken[n]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(recv(wire.client, &byte, 1, 0), 0);
    drop(&wire);
}

static void without_descriptors_it_is_not_opened(void **state)
{
    (void)state;
    int before = descriptors();
    struct rlimit limit = used_up();
    tr_cutter_t none;
    int err = tr_cutter_open(&none);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(err, EMFILE);
    assert_int_equal(descriptors(), before);
}

/* After it had to leave one open. */
static void without_a_descriptor_it_says_so_and_cuts_later(void **state)
{
    (void)state;
    wire_t wire = wire_of(AF_INET, AF_INET);
    struct rlimit limit;

    close(cutter.held);
    cutter.held = -1;
    limit = used_up();
    assert_false(tr_cutter_cut(&cutter, &wire.line));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(is_alive(&wire));
    assert_true(tr_cutter_cut(&cutter, &wire.line));
    assert_false(is_alive(&wire));
    drop(&wire);
}

#define CUTTING(f) cmocka_unit_test_setup_teardown(f, open_cutter, close_cutter)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CUTTING(a_connection_is_cut_both_ways),
        CUTTING(what_was_not_fetched_is_thrown_away),
        CUTTING(one_of_ipv6_is_cut),
        CUTTING(an_address_of_ipv4_is_the_same_when_it_is_mapped),
        CUTTING(what_has_no_address_of_its_own_has_no_name),
        CUTTING(another_connection_with_the_same_number_is_left_alone),
        CUTTING(the_other_end_of_the_connection_is_another),
        CUTTING(one_that_differs_in_anything_is_another),
        CUTTING(what_is_closed_is_left_alone),
        CUTTING(a_pipe_or_socket_without_address_with_the_number_is_left_alone),
        CUTTING(a_file_with_the_number_keeps_its_locks),
        CUTTING(it_cuts_when_no_descriptor_is_free),
        CUTTING(without_descriptors_it_is_not_opened),
        CUTTING(without_a_descriptor_it_says_so_and_cuts_later),
    };
    return TT_RUN(tests);
}
