/*
 * The table of revocations in one process: capacity, expiry, growth of an entry, attaching, recovery.
 */
#include "tr_table.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_table_layout.h"
#include "tr_testing_cmocka.h"

#define NOW 1700000000

typedef struct segment_t {
    void *base;
    apr_size_t size;
} segment_t;

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static segment_t segment(apr_size_t size, apr_pool_t *pool)
{
    segment_t s = {NULL, size};
    assert_int_equal(posix_memalign(&s.base, 4096, size ? size : 1), 0);
    memset(s.base, 0, size);
    apr_pool_cleanup_register(pool, s.base, release, apr_pool_cleanup_null);
    return s;
}

static tr_table_t *create(uint32_t capacity, apr_pool_t *pool)
{
    segment_t s = segment(tr_table_size(capacity), pool);
    tr_table_t *table = NULL;
    assert_int_equal(tr_table_create(&table, s.base, s.size, capacity, NULL, pool), APR_SUCCESS);
    return table;
}

static tr_entry_t entry(tr_kind_t kind, const char *value, int64_t expires_s, apr_time_t issued_before)
{
    tr_entry_t e;
    e.kind = kind;
    e.issuer = tr_str_z("https://idp.example.com/");
    e.value = tr_str_z(value);
    e.issued_before = issued_before;
    e.expires_s = expires_s;
    return e;
}

static apr_status_t insert_entry(tr_table_t *table, tr_entry_t e, int64_t now_s)
{
    tr_table_begin_locked(table);
    apr_status_t rv = tr_table_insert_locked(table, &e, now_s);
    tr_table_end_locked(table);
    return rv;
}

static apr_status_t insert(tr_table_t *table, const char *value, int64_t expires_s, int64_t now_s)
{
    return insert_entry(table, entry(TR_KIND_TOKEN, value, expires_s, 0), now_s);
}

static bool found(const tr_table_t *table, const char *value)
{
    return tr_table_lookup(table, NULL,
                           tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("https://idp.example.com/"), tr_str_z(value)));
}

static void sweep(tr_table_t *table, int64_t now_s, uint32_t max_slots)
{
    tr_table_begin_locked(table);
    tr_table_sweep_locked(table, now_s, max_slots);
    tr_table_end_locked(table);
}

static tr_table_stats_t stats(const tr_table_t *table)
{
    tr_table_stats_t s;
    tr_table_stats(&s, table);
    return s;
}

static char *name(apr_pool_t *pool, unsigned i)
{
    return tt_print(pool, "jti-%u", i);
}

static void a_new_table_holds_nothing(void **state)
{
    tr_table_t *table = create(100, *state);
    apr_time_t cut = 42;
    assert_int_equal(tr_table_capacity(table), 100);
    assert_false(found(table, "x"));
    assert_false(tr_table_lookup(table, &cut, (tr_mark_t){{0, 0}}));
    assert_false(tr_table_lookup(table, &cut, (tr_mark_t){{UINT64_MAX, UINT64_MAX}}));
    assert_int_equal(stats(table).used, 0);
    assert_int_equal(stats(table).capacity, 100);
}

static void what_was_inserted_is_found_and_nothing_else(void **state)
{
    tr_table_t *table = create(1000, *state);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
        assert_true(found(table, name(*state, i)));
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_true(found(table, name(*state, i)));
    for (unsigned i = 1000; i < 20000; i++)
        assert_false(found(table, name(*state, i)));
}

static void every_bit_of_a_mark_counts(void **state)
{
    tr_table_t *table = create(10, *state);
    assert_int_equal(insert(table, "v", NOW + 60, NOW), APR_SUCCESS);
    tr_mark_t mark = tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("https://idp.example.com/"), tr_str_z("v"));
    assert_true(tr_table_lookup(table, NULL, mark));
    for (int bit = 0; bit < 128; bit++) {
        tr_mark_t other = mark;
        other.h[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_false(tr_table_lookup(table, NULL, other));
    }
}

static void kinds_and_issuers_are_apart(void **state)
{
    tr_table_t *table = create(10, *state);
    assert_int_equal(insert(table, "v", NOW + 60, NOW), APR_SUCCESS);
    for (int kind = 1; kind < TR_KINDS; kind++)
        assert_false(tr_table_lookup(table, NULL,
                                     tr_table_mark(table, (tr_kind_t)kind, tr_str_z("https://idp.example.com/"), tr_str_z("v"))));
    assert_false(
        tr_table_lookup(table, NULL, tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("https://idp.example.com"), tr_str_z("v"))));
}

static void exactly_the_capacity_of_live_entries_fits(void **state)
{
    static const uint32_t capacities[] = {1, 2, 3, 7, 8, 9, 10, 63, 64, 65, 100, 127, 1000, 4096, 5001};
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        tr_table_t *table = create(capacities[c], *state);
        for (unsigned i = 0; i < capacities[c]; i++) {
            if (insert(table, name(*state, i), NOW + 60, NOW) != APR_SUCCESS)
                fail_msg("capacity %u was full at %u", capacities[c], i);
        }
        assert_int_equal(insert(table, "one more", NOW + 60, NOW), APR_ENOSPC);
        assert_false(found(table, "one more"));
        for (unsigned i = 0; i < capacities[c]; i++)
            assert_true(found(table, name(*state, i)));
        assert_int_equal(stats(table).used, capacities[c]);
        assert_int_equal(stats(table).full, 1);
        apr_pool_clear(*state);
    }
}

static void a_full_table_still_lengthens_what_it_holds(void **state)
{
    tr_table_t *table = create(50, *state);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 600, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "new", NOW + 60, NOW + 300), APR_ENOSPC);
    assert_int_equal(stats(table).used, 50);
}

static void the_place_of_an_expired_entry_is_given_to_a_new_one(void **state)
{
    tr_table_t *table = create(100, *state);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(insert(table, name(*state, i), i % 2 ? NOW + 60 : NOW + 6000, NOW), APR_SUCCESS);
    for (unsigned i = 100; i < 150; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 6000, NOW + 61), APR_SUCCESS);
    assert_int_equal(insert(table, "one more", NOW + 6000, NOW + 61), APR_ENOSPC);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(found(table, name(*state, i)), i % 2 == 0);
    for (unsigned i = 100; i < 150; i++)
        assert_true(found(table, name(*state, i)));
}

static void expired_entries_on_the_way_give_up_their_places(void **state)
{
    /* Half full, so that nothing is swept; the new ones meet the expired ones where they look for a place. */
    tr_table_t *table = create(200, *state);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 10, NOW), APR_SUCCESS);
    for (unsigned i = 100; i < 200; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 6000, NOW + 100), APR_SUCCESS);
    assert_true(stats(table).reclaimed > 0);
    assert_int_equal(stats(table).used, 200 - stats(table).reclaimed);
    for (unsigned i = 100; i < 200; i++)
        assert_true(found(table, name(*state, i)));
}

static void an_entry_lives_to_its_last_second(void **state)
{
    tr_table_t *table = create(1, *state);
    assert_int_equal(insert(table, "old", NOW + 60, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "new", NOW + 99, NOW + 59), APR_ENOSPC);
    sweep(table, NOW + 59, 0);
    assert_true(found(table, "old"));
    sweep(table, NOW + 61, 0);
    assert_false(found(table, "old"));
    assert_int_equal(insert(table, "new", NOW + 99, NOW + 61), APR_SUCCESS);
    table = create(2, *state);
    assert_int_equal(insert(table, "older", NOW + 10, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "old", NOW + 60, NOW), APR_SUCCESS);
    sweep(table, NOW + 60, 0);
    assert_false(found(table, "older"));
    assert_true(found(table, "old"));
}

/* Whatever a process that was taken over has written there. */
static void a_kind_that_is_none_leads_outside_no_counter(void **state)
{
    segment_t s = segment(tr_table_size(10), *state);
    tr_table_t *table;
    assert_int_equal(tr_table_create(&table, s.base, s.size, 10, NULL, *state), APR_SUCCESS);
    assert_int_equal(insert(table, "v", NOW + 10, NOW), APR_SUCCESS);
    for (uint32_t b = 0; b < table->buckets; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            _Atomic uint16_t *meta = &table->bucket[b].slot[i].meta;
            if (is_valid(*meta))
                *meta = (uint16_t)(*meta | 15 << 1);
        }
    }
    sweep(table, NOW + 11, 0);
    assert_false(found(table, "v"));
    assert_int_equal(stats(table).reclaimed, 1);
    assert_int_equal(stats(table).inserted, 1);
}

static void an_expired_entry_revokes_until_it_is_swept(void **state)
{
    tr_table_t *table = create(100, *state);
    assert_int_equal(insert(table, "a", NOW + 60, NOW), APR_SUCCESS);
    assert_true(found(table, "a"));
    sweep(table, NOW + 3600, 0);
    assert_false(found(table, "a"));
    assert_int_equal(stats(table).used, 0);
    assert_int_equal(stats(table).reclaimed, 1);
}

static void an_entry_that_never_ends_is_never_swept(void **state)
{
    tr_table_t *table = create(3, *state);
    assert_int_equal(insert(table, "for ever", TR_FOREVER, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "long", (int64_t)1 << 40, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "short", NOW + 1, NOW), APR_SUCCESS);
    sweep(table, ((int64_t)1 << 40) - 1, 0);
    assert_true(found(table, "long"));
    sweep(table, (int64_t)1 << 50, 0);
    assert_true(found(table, "for ever"));
    sweep(table, INT64_MAX - 1, 0);
    assert_true(found(table, "for ever"));
    assert_false(found(table, "short"));
    /* Nothing makes it end: an entry's life is only lengthened. */
    assert_int_equal(insert(table, "for ever", NOW + 60, NOW), APR_SUCCESS);
    sweep(table, (int64_t)1 << 50, 0);
    assert_true(found(table, "for ever"));
}

static void a_second_insert_only_lengthens(void **state)
{
    tr_table_t *table = create(10, *state);
    assert_int_equal(insert(table, "a", NOW + 1000, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "a", NOW + 10, NOW), APR_SUCCESS);
    sweep(table, NOW + 999, 0);
    assert_true(found(table, "a"));
    assert_int_equal(insert(table, "a", NOW + 2000, NOW), APR_SUCCESS);
    sweep(table, NOW + 1999, 0);
    assert_true(found(table, "a"));
    assert_int_equal(stats(table).used, 1);
    sweep(table, NOW + 2001, 0);
    assert_false(found(table, "a"));
}

static void a_cut_off_only_moves_later(void **state)
{
    tr_table_t *table = create(10, *state);
    const apr_time_t cut = (apr_time_t)NOW * 1000000 + 123457;
    tr_mark_t mark = tr_table_mark(table, TR_KIND_SUBJECT, tr_str_z("https://idp.example.com/"), tr_str_z("alice"));
    apr_time_t got = 0;
    assert_int_equal(insert_entry(table, entry(TR_KIND_SUBJECT, "alice", NOW + 60, cut), NOW), APR_SUCCESS);
    assert_true(tr_table_lookup(table, &got, mark));
    assert_true(got == cut);
    assert_int_equal(insert_entry(table, entry(TR_KIND_SUBJECT, "alice", NOW + 60, cut - 1), NOW), APR_SUCCESS);
    assert_true(tr_table_lookup(table, &got, mark) && got == cut);
    assert_int_equal(insert_entry(table, entry(TR_KIND_SUBJECT, "alice", NOW + 6, cut + 1), NOW), APR_SUCCESS);
    assert_true(tr_table_lookup(table, &got, mark) && got == cut + 1);
    sweep(table, NOW + 59, 0);
    assert_true(tr_table_lookup(table, NULL, mark));
    /* The far end of the clock. */
    assert_int_equal(insert_entry(table, entry(TR_KIND_ISSUER, "", TR_FOREVER, INT64_MAX / 2), NOW), APR_SUCCESS);
    mark = tr_table_mark(table, TR_KIND_ISSUER, tr_str_z("https://idp.example.com/"), tr_str(NULL, 0));
    assert_true(tr_table_lookup(table, &got, mark) && got == INT64_MAX / 2);
}

static void entries_are_counted_by_kind(void **state)
{
    tr_table_t *table = create(100, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        for (int i = 0; i <= kind; i++)
            assert_int_equal(insert_entry(table, entry((tr_kind_t)kind, name(*state, (unsigned)i), NOW + 60 + kind, 1), NOW),
                             APR_SUCCESS);
    }
    tr_table_stats_t s = stats(table);
    assert_int_equal(s.used, TR_KINDS * (TR_KINDS + 1) / 2);
    assert_int_equal(s.inserted, TR_KINDS * (TR_KINDS + 1) / 2);
    for (int kind = 0; kind < TR_KINDS; kind++)
        assert_int_equal(s.by_kind[kind], kind + 1);
    sweep(table, NOW + 60 + 3, 0);
    s = stats(table);
    assert_int_equal(s.by_kind[0] + s.by_kind[1] + s.by_kind[2], 0);
    assert_int_equal(s.by_kind[4], 5);
    assert_int_equal(s.by_kind[5], 6);
}

static void sweeps_in_slices_reach_every_place(void **state)
{
    tr_table_t *table = create(500, *state);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
    for (int round = 0; round < 500 && stats(table).used > 0; round++)
        sweep(table, NOW + 100, 7);
    assert_int_equal(stats(table).used, 0);
    for (unsigned i = 0; i < 500; i++)
        assert_false(found(table, name(*state, i)));
}

static void even_the_smallest_slices_reach_every_place(void **state)
{
    tr_table_t *table = create(10, *state);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
    for (int round = 0; round < 1000 && stats(table).used > 0; round++)
        sweep(table, NOW + 100, 1);
    assert_int_equal(stats(table).used, 0);
}

static void the_table_can_be_filled_and_emptied_for_ever(void **state)
{
    tr_table_t *table = create(37, *state);
    int64_t now = NOW;
    for (unsigned round = 0; round < 300; round++, now += 100) {
        for (unsigned i = 0; i < 37; i++)
            assert_int_equal(insert(table, name(*state, round * 100 + i), now + 50, now), APR_SUCCESS);
        assert_int_equal(insert(table, "one more", now + 50, now), APR_ENOSPC);
        for (unsigned i = 0; i < 37; i++)
            assert_true(found(table, name(*state, round * 100 + i)));
        if (round % 3 == 0)
            sweep(table, now + 60, 0);
    }
}

static void memory_per_entry_stays_within_its_promise(void **state)
{
    (void)state;
    assert_in_range(tr_table_size(1000000), 1, 40u * 1000000u + 4 * 4096u);
    assert_in_range(tr_table_size(1000), 1, 48u * 1000u);
    assert_in_range(tr_table_size(TR_MAX_CAPACITY), 1, (uint64_t)40 * TR_MAX_CAPACITY + 4 * 4096);
    for (uint32_t capacity = 2; capacity < 5000; capacity++)
        assert_true(tr_table_size(capacity) >= tr_table_size(capacity - 1));
}

static void a_segment_that_is_too_small_is_refused(void **state)
{
    tr_table_t *table;
    segment_t s = segment(tr_table_size(100), *state);
    assert_int_equal(tr_table_create(&table, s.base, s.size - 1, 100, NULL, *state), APR_EINVAL);
    assert_int_equal(tr_table_create(&table, s.base, 0, 100, NULL, *state), APR_EINVAL);
    assert_int_equal(tr_table_create(&table, s.base, 64, 1, NULL, *state), APR_EINVAL);
    assert_int_equal(tr_table_create(&table, s.base, s.size, 100, NULL, *state), APR_SUCCESS);
}

static void every_handle_sees_the_same_entries(void **state)
{
    segment_t s = segment(tr_table_size(100), *state);
    tr_table_t *first, *second;
    assert_int_equal(tr_table_create(&first, s.base, s.size, 100, NULL, *state), APR_SUCCESS);
    assert_int_equal(insert(first, "before", NOW + 60, NOW), APR_SUCCESS);
    assert_int_equal(tr_table_attach(&second, s.base, s.size, *state), APR_SUCCESS);
    assert_int_equal(tr_table_capacity(second), 100);
    assert_true(found(second, "before"));
    assert_int_equal(insert(second, "after", NOW + 60, NOW), APR_SUCCESS);
    assert_true(found(first, "after"));
    tr_mark_t a = tr_table_mark(first, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z("v"));
    tr_mark_t b = tr_table_mark(second, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z("v"));
    assert_memory_equal(&a, &b, sizeof a);
}

static void the_segment_may_lie_at_another_address(void **state)
{
    segment_t s = segment(tr_table_size(100), *state), moved = segment(tr_table_size(100), *state);
    tr_table_t *table;
    assert_int_equal(tr_table_create(&table, s.base, s.size, 100, NULL, *state), APR_SUCCESS);
    assert_int_equal(insert(table, "a", NOW + 60, NOW), APR_SUCCESS);
    memcpy(moved.base, s.base, s.size);
    memset(s.base, 0xee, s.size);
    assert_int_equal(tr_table_attach(&table, moved.base, moved.size, *state), APR_SUCCESS);
    assert_true(found(table, "a"));
    assert_int_equal(insert(table, "b", NOW + 60, NOW), APR_SUCCESS);
}

/* Was the system asked for large pages where address lies? */
static bool wants_large_pages(const void *address)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, asked = false;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            asked = strstr(line, " hg") != NULL;
    }
    if (f)
        fclose(f);
    return asked;
}

static void large_pages_are_asked_for_under_the_table_alone(void **state)
{
    enum { page = 4096, capacity = 200000 };
    apr_size_t size = tr_table_size(capacity), around = size + 6 * page;
    char *memory = mmap(NULL, around, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *base = memory + 2 * page + 192; /* httpd's segment begins with other things */
    tr_table_t *table = NULL;
    if (memory == MAP_FAILED || sysconf(_SC_PAGESIZE) != page || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0)
        skip();
    assert_int_equal(tr_table_create(&table, base, size, capacity, NULL, *state), APR_SUCCESS);
    assert_true(wants_large_pages(base + page));
    assert_true(wants_large_pages(base + size / 2));
    assert_false(wants_large_pages(memory));
    assert_false(wants_large_pages(base));
    assert_false(wants_large_pages(base + size + page));
    assert_int_equal(insert(table, "a", NOW + 60, NOW), APR_SUCCESS);
    assert_true(found(table, "a"));
    munmap(memory, around);
}

static void fetching_ahead_changes_no_answer(void **state)
{
    tr_table_t *table = create(1000, *state);
    tr_mark_t edge[] = {{{0, 0}}, {{UINT64_MAX, UINT64_MAX}}, {{UINT64_C(1) << 32, 0}}};
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) {
        tr_table_prefetch(table, edge[i]);
        assert_false(tr_table_lookup(table, NULL, edge[i]));
    }
    for (unsigned i = 0; i < 2000; i++) {
        tr_table_prefetch(table,
                          tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("https://idp.example.com/"), tr_str_z(name(*state, i))));
        assert_int_equal(found(table, name(*state, i)), i < 1000);
    }
}

static void two_tables_have_different_keys(void **state)
{
    tr_table_t *a = create(10, *state), *b = create(10, *state);
    tr_mark_t ma = tr_table_mark(a, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z("v"));
    tr_mark_t mb = tr_table_mark(b, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z("v"));
    assert_memory_not_equal(&ma, &mb, sizeof ma);
}

static _Atomic bool stop;

/* As a process of httpd's might that somebody has taken over. */
static void *change_the_capacity(void *word)
{
    for (uint32_t n = 1; !atomic_load(&stop); n = 1001 - n)
        atomic_store((_Atomic uint32_t *)word, n);
    return NULL;
}

static int attach_and_look(void *base, apr_size_t size, apr_pool_t *pool)
{
    pthread_t thread;
    int attached = 0;
    signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the tests */
    if (pthread_create(&thread, NULL, change_the_capacity, (uint32_t *)base + 3) != 0)
        return 1;
    for (time_t end = time(NULL) + 2; attached < 500000 && time(NULL) < end;) {
        tr_table_t *table;
        apr_pool_clear(pool);
        if (tr_table_attach(&table, base, size, pool) == APR_SUCCESS) {
            attached++;
            (void)tr_table_lookup(table, NULL, (tr_mark_t){{UINT64_MAX, 1}}); /* the last bucket */
        }
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    return attached > 0 ? 0 : 2;
}

static void a_capacity_that_changes_while_it_is_attached_leads_nowhere_else(void **state)
{
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE), beyond = tr_table_size(1000);
    char *base = mmap(NULL, page + beyond, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tr_table_t *table;
    int status;
    assert_true(base != MAP_FAILED && mprotect(base, page, PROT_READ | PROT_WRITE) == 0);
    assert_true(tr_table_size(1) <= page);
    assert_int_equal(tr_table_create(&table, base, tr_table_size(1), 1, NULL, *state), APR_SUCCESS);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        _exit(attach_and_look(base, tr_table_size(1), *state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    munmap(base, page + beyond);
}

static void foreign_memory_is_not_attached(void **state)
{
    segment_t s = segment(tr_table_size(100), *state);
    tr_table_t *table;
    assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_EINVAL);
    uint64_t seed = 6;
    for (size_t i = 0; i < s.size; i++)
        ((unsigned char *)s.base)[i] = (unsigned char)tt_random(&seed);
    assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_EINVAL);
    memset(s.base, 0xff, s.size);
    assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_EINVAL);
    memset(s.base, 0, s.size);
    assert_int_equal(tr_table_create(&table, s.base, s.size, 100, NULL, *state), APR_SUCCESS);
    assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_SUCCESS);
    assert_int_equal(tr_table_attach(&table, s.base, s.size - 4096, *state), APR_EINVAL);
    assert_int_equal(tr_table_attach(&table, s.base, 8, *state), APR_EINVAL);
    assert_int_equal(tr_table_attach(&table, s.base, 0, *state), APR_EINVAL);
    for (size_t byte = 0; byte < 12; byte++) { /* the magic and the version */
        ((unsigned char *)s.base)[byte] ^= 0x55;
        assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_EINVAL);
        ((unsigned char *)s.base)[byte] ^= 0x55;
    }
    assert_int_equal(tr_table_attach(&table, s.base, s.size, *state), APR_SUCCESS);
}

static void counts_are_made_anew_after_a_writer_died(void **state)
{
    tr_table_t *table = create(100, *state);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(insert(table, name(*state, i), NOW + 60, NOW), APR_SUCCESS);
    tr_entry_t e = entry(TR_KIND_SESSION, "s", NOW + 60, 5);
    assert_int_equal(stats(table).recovered, 0);
    tr_table_begin_locked(table);
    assert_int_equal(tr_table_insert_locked(table, &e, NOW), APR_SUCCESS);
    /* Here the writer dies: no end. Readers do not mind. */
    assert_true(found(table, "jti-3"));
    tr_table_begin_locked(table);
    tr_table_end_locked(table);
    tr_table_stats_t s = stats(table);
    assert_int_equal(s.recovered, 1);
    assert_int_equal(s.used, 11);
    assert_int_equal(s.by_kind[TR_KIND_TOKEN], 10);
    assert_int_equal(s.by_kind[TR_KIND_SESSION], 1);
    tr_table_begin_locked(table);
    tr_table_end_locked(table);
    assert_int_equal(stats(table).recovered, 1);
}

static void what_expires_after_a_writer_died_is_swept(void **state)
{
    tr_table_t *table = create(10, *state);
    assert_int_equal(insert(table, "a", NOW + 10, NOW), APR_SUCCESS);
    assert_int_equal(insert(table, "b", NOW + 60, NOW), APR_SUCCESS);
    tr_table_begin_locked(table); /* and dies */
    sweep(table, NOW + 11, 4);
    assert_int_equal(stats(table).recovered, 1);
    sweep(table, NOW + 11, 0);
    assert_false(found(table, "a"));
    assert_true(found(table, "b"));
    assert_int_equal(stats(table).used, 1);
}

static void a_table_works_on_after_many_deaths(void **state)
{
    tr_table_t *table = create(64, *state);
    for (unsigned i = 0; i < 64; i++) {
        tr_entry_t e = entry(TR_KIND_TOKEN, name(*state, i), NOW + 60, 0);
        tr_table_begin_locked(table);
        assert_int_equal(tr_table_insert_locked(table, &e, NOW), APR_SUCCESS);
    }
    assert_int_equal(insert(table, "one more", NOW + 60, NOW), APR_ENOSPC);
    assert_int_equal(stats(table).recovered, 64);
    assert_int_equal(stats(table).used, 64);
    for (unsigned i = 0; i < 64; i++)
        assert_true(found(table, name(*state, i)));
}

static void the_kinds_that_have_entries_are_known_at_one_look(void **state)
{
    tr_table_t *table = create(100, *state);
    uint32_t kinds = 0;
    assert_int_equal(tr_table_kinds(table), 0);
    for (int i = 0; i < TR_KINDS; i++) {
        tr_kind_t kind = (tr_kind_t)(i * 7 % TR_KINDS);
        tr_mark_t mark = tr_table_mark(table, kind, tr_str_z("https://idp.example.com/"), tr_str_z("v"));
        tr_table_prefetch(table, mark); /* of what is not there, too */
        assert_int_equal(insert_entry(table, entry(kind, "v", NOW + 10, 0), NOW), APR_SUCCESS);
        tr_table_prefetch(table, mark);
        kinds |= 1u << kind;
        assert_int_equal(tr_table_kinds(table), kinds);
        for (tr_kind_t k = 0; k < TR_KINDS; k++)
            assert_int_equal(tr_table_has(table, k), kinds >> k & 1);
    }
    /* A writer that died changes nothing of that; those that have gone do, and one that comes again. */
    tr_table_begin_locked(table);
    tr_table_begin_locked(table);
    tr_table_end_locked(table);
    assert_int_equal(tr_table_kinds(table), kinds);
    assert_int_equal(insert_entry(table, entry(TR_KIND_FAMILY, "longer", NOW + 20, 0), NOW), APR_SUCCESS);
    tr_table_sweep_locked(table, NOW + 15, 0);
    assert_int_equal(tr_table_kinds(table), 1u << TR_KIND_FAMILY);
    tr_table_sweep_locked(table, NOW + 25, 0);
    assert_int_equal(tr_table_kinds(table), 0);
    assert_int_equal(insert_entry(table, entry(TR_KIND_SUBJECT, "v", NOW + 30, 0), NOW + 25), APR_SUCCESS);
    assert_int_equal(tr_table_kinds(table), 1u << TR_KIND_SUBJECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_new_table_holds_nothing),
        TT_TEST(the_kinds_that_have_entries_are_known_at_one_look),
        TT_TEST(what_was_inserted_is_found_and_nothing_else),
        TT_TEST(every_bit_of_a_mark_counts),
        TT_TEST(kinds_and_issuers_are_apart),
        TT_TEST(exactly_the_capacity_of_live_entries_fits),
        TT_TEST(a_full_table_still_lengthens_what_it_holds),
        TT_TEST(the_place_of_an_expired_entry_is_given_to_a_new_one),
        TT_TEST(expired_entries_on_the_way_give_up_their_places),
        TT_TEST(an_entry_lives_to_its_last_second),
        TT_TEST(a_kind_that_is_none_leads_outside_no_counter),
        TT_TEST(an_expired_entry_revokes_until_it_is_swept),
        TT_TEST(an_entry_that_never_ends_is_never_swept),
        TT_TEST(a_second_insert_only_lengthens),
        TT_TEST(a_cut_off_only_moves_later),
        TT_TEST(entries_are_counted_by_kind),
        TT_TEST(sweeps_in_slices_reach_every_place),
        TT_TEST(even_the_smallest_slices_reach_every_place),
        TT_TEST(the_table_can_be_filled_and_emptied_for_ever),
        TT_TEST(memory_per_entry_stays_within_its_promise),
        TT_TEST(a_segment_that_is_too_small_is_refused),
        TT_TEST(every_handle_sees_the_same_entries),
        TT_TEST(the_segment_may_lie_at_another_address),
        TT_TEST(large_pages_are_asked_for_under_the_table_alone),
        TT_TEST(fetching_ahead_changes_no_answer),
        TT_TEST(two_tables_have_different_keys),
        TT_TEST(a_capacity_that_changes_while_it_is_attached_leads_nowhere_else),
        TT_TEST(foreign_memory_is_not_attached),
        TT_TEST(counts_are_made_anew_after_a_writer_died),
        TT_TEST(what_expires_after_a_writer_died_is_swept),
        TT_TEST(a_table_works_on_after_many_deaths),
    };
    return TT_RUN(tests);
}
