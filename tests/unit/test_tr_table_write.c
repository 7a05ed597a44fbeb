/*
 * What the table remembers beside its entries: which of them are known to be on disk. Many entries put in at once. And whether
 * anything has changed.
 */
#include "tr_table.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tr_table_layout.h"
#include "tr_testing_cmocka.h"

#define NOW 1700000000
#define ISS "https://idp.example.com/"
#define CUT ((apr_time_t)NOW * 1000000 + 123457)

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static tr_table_t *create(uint32_t capacity, apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(capacity);
    tr_table_t *table = NULL;
    void *base = NULL;
    assert_int_equal(posix_memalign(&base, 4096, size), 0);
    memset(base, 0, size);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    assert_int_equal(tr_table_create(&table, base, size, capacity, NULL, pool), APR_SUCCESS);
    return table;
}

static tr_entry_t entry(tr_kind_t kind, const char *value, int64_t expires_s, apr_time_t issued_before)
{
    tr_entry_t e = {kind, tr_str_z(ISS), tr_str_z(value), issued_before, expires_s};
    return e;
}

static tr_entry_t token(const char *value, int64_t expires_s)
{
    return entry(TR_KIND_TOKEN, value, expires_s, 0);
}

static void insert_at(tr_table_t *table, tr_entry_t e, int64_t now_s)
{
    tr_table_begin_locked(table);
    assert_int_equal(tr_table_insert_locked(table, &e, now_s), APR_SUCCESS);
    tr_table_end_locked(table);
}

static void insert(tr_table_t *table, tr_entry_t e)
{
    insert_at(table, e, NOW);
}

static void set_durable(tr_table_t *table, tr_entry_t e)
{
    tr_table_begin_locked(table);
    tr_table_set_durable(table, &e);
    tr_table_end_locked(table);
}

static bool is_durable(tr_table_t *table, tr_entry_t e)
{
    tr_table_begin_locked(table);
    bool durable = tr_table_is_durable_locked(table, &e);
    tr_table_end_locked(table);
    return durable;
}

static void sweep(tr_table_t *table, int64_t now_s)
{
    tr_table_begin_locked(table);
    tr_table_sweep_locked(table, now_s, 0);
    tr_table_end_locked(table);
}

static bool found_at(const tr_table_t *table, apr_time_t *cut_off, tr_entry_t e)
{
    return tr_table_lookup(table, cut_off, tr_table_mark(table, e.kind, e.issuer, e.value));
}

static bool found(const tr_table_t *table, tr_entry_t e)
{
    return found_at(table, NULL, e);
}

static tr_table_stats_t stats(const tr_table_t *table)
{
    tr_table_stats_t s;
    tr_table_stats(&s, table);
    return s;
}

/* ---- durable ----------------------------------------------------------------------------------------------- */

static void an_entry_is_durable_once_that_is_said_and_not_before(void **state)
{
    tr_table_t *table = create(100, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        tr_entry_t e = entry((tr_kind_t)kind, "v", kind % 2 ? TR_FOREVER : NOW + 60, CUT + kind);
        assert_false(is_durable(table, e));
        insert(table, e);
        assert_false(is_durable(table, e));
        set_durable(table, e);
        assert_true(is_durable(table, e));
    }
    assert_false(is_durable(table, token("other", NOW + 60)));
}

static void an_entry_that_is_not_there_does_not_become_durable(void **state)
{
    tr_table_t *table = create(10, *state);
    set_durable(table, token("a", NOW + 60));
    assert_false(is_durable(table, token("a", NOW + 60)));
    insert(table, token("a", NOW + 60));
    assert_false(is_durable(table, token("a", NOW + 60)));
    assert_int_equal(stats(table).used, 1);
}

static void a_durable_entry_covers_whatever_is_less_strict(void **state)
{
    tr_table_t *table = create(10, *state);
    tr_entry_t e = entry(TR_KIND_SUBJECT, "alice", NOW + 60, CUT);
    insert(table, e);
    set_durable(table, e);
    assert_true(is_durable(table, entry(TR_KIND_SUBJECT, "alice", NOW + 1, CUT)));
    assert_true(is_durable(table, entry(TR_KIND_SUBJECT, "alice", NOW + 60, CUT - 1)));
    assert_true(is_durable(table, entry(TR_KIND_SUBJECT, "alice", 0, 0)));
    assert_false(is_durable(table, entry(TR_KIND_SUBJECT, "alice", NOW + 61, CUT)));
    assert_false(is_durable(table, entry(TR_KIND_SUBJECT, "alice", NOW + 60, CUT + 1)));
    assert_false(is_durable(table, entry(TR_KIND_SUBJECT, "alice", TR_FOREVER, 0)));
    assert_false(is_durable(table, entry(TR_KIND_CLIENT, "alice", NOW + 1, CUT)));
    /* Inserting it changes nothing, so it stays stored. */
    insert(table, entry(TR_KIND_SUBJECT, "alice", NOW + 1, CUT - 1));
    assert_true(is_durable(table, e));
}

static void the_cut_off_of_a_token_does_not_matter(void **state)
{
    tr_table_t *table = create(10, *state);
    insert(table, entry(TR_KIND_TOKEN, "a", NOW + 60, 0));
    set_durable(table, entry(TR_KIND_TOKEN, "a", NOW + 60, 0));
    assert_true(is_durable(table, entry(TR_KIND_TOKEN, "a", NOW + 60, CUT)));
    insert(table, entry(TR_KIND_TOKEN, "a", NOW + 60, CUT));
    assert_true(is_durable(table, entry(TR_KIND_TOKEN, "a", NOW + 60, 0)));
}

static void a_longer_life_must_be_stored_anew(void **state)
{
    tr_table_t *table = create(10, *state);
    insert(table, token("a", NOW + 60));
    set_durable(table, token("a", NOW + 60));
    insert(table, token("a", NOW + 61));
    assert_false(is_durable(table, token("a", NOW + 61)));
    assert_false(is_durable(table, token("a", NOW + 60)));
    set_durable(table, token("a", NOW + 61));
    assert_true(is_durable(table, token("a", NOW + 61)));
    assert_true(is_durable(table, token("a", NOW + 60)));
    insert(table, token("a", TR_FOREVER));
    assert_false(is_durable(table, token("a", NOW + 60)));
}

static void a_later_cut_off_must_be_stored_anew(void **state)
{
    for (int kind = TR_KIND_SESSION; kind <= TR_KIND_ISSUER; kind++) {
        tr_table_t *table = create(10, *state);
        tr_entry_t e = entry((tr_kind_t)kind, "v", NOW + 60, CUT), later = entry((tr_kind_t)kind, "v", NOW + 60, CUT + 1);
        insert(table, e);
        set_durable(table, e);
        insert(table, later);
        assert_false(is_durable(table, later));
        assert_false(is_durable(table, e));
        set_durable(table, later);
        assert_true(is_durable(table, later));
    }
}

static void storing_what_was_overtaken_proves_nothing(void **state)
{
    tr_table_t *table = create(10, *state);
    tr_entry_t first = entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT), longer = first, later = first;
    longer.expires_s = NOW + 90;
    later.issued_before = CUT + 5;
    insert(table, first);
    insert(table, longer);
    set_durable(table, first);
    assert_false(is_durable(table, longer));
    assert_false(is_durable(table, first));
    insert(table, later);
    set_durable(table, longer);
    assert_false(is_durable(table, longer));
    set_durable(table, later);
    assert_false(is_durable(table, first));
    /* One row has both. */
    later.expires_s = NOW + 90;
    set_durable(table, later);
    assert_true(is_durable(table, first));
    assert_true(is_durable(table, later));
}

static void the_next_entry_in_a_place_does_not_inherit(void **state)
{
    /* Round and round, until the version of the place has run over. */
    tr_table_t *table = create(1, *state);
    int64_t now_s = NOW;
    for (int round = 0; round < 5000; round++, now_s += 100) {
        tr_entry_t old = token(round % 2 ? "a" : "b", now_s + 10), new = token(round % 2 ? "b" : "a", now_s + 60);
        insert_at(table, old, now_s);
        assert_false(is_durable(table, old));
        set_durable(table, old);
        assert_true(is_durable(table, old));
        insert_at(table, new, now_s + 11);
        assert_false(found(table, old));
        assert_false(is_durable(table, old));
        assert_false(is_durable(table, new));
        sweep(table, now_s + 61);
    }
}

static void what_was_swept_is_not_durable_when_it_comes_back(void **state)
{
    tr_table_t *table = create(10, *state);
    insert(table, token("a", NOW + 60));
    set_durable(table, token("a", NOW + 60));
    sweep(table, NOW + 61);
    assert_false(is_durable(table, token("a", NOW + 60)));
    insert_at(table, token("a", NOW + 120), NOW + 61);
    assert_false(is_durable(table, token("a", NOW + 60)));
}

static void after_a_writer_died_everything_must_be_stored_anew(void **state)
{
    /* He may have been lengthening any of them. */
    tr_table_t *table = create(100, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        insert(table, entry((tr_kind_t)kind, "durable", NOW + 60, CUT));
        insert(table, entry((tr_kind_t)kind, "not", NOW + 60, CUT));
        set_durable(table, entry((tr_kind_t)kind, "durable", NOW + 60, CUT));
    }
    tr_table_begin_locked(table); /* here the writer dies */
    for (int kind = 0; kind < TR_KINDS; kind++) {
        tr_entry_t e = entry((tr_kind_t)kind, "durable", NOW + 60, CUT);
        assert_false(is_durable(table, e));
        assert_false(is_durable(table, entry((tr_kind_t)kind, "not", NOW + 60, CUT)));
        assert_true(found(table, e));
        assert_int_equal(stats(table).by_kind[kind], 2);
        set_durable(table, e);
        assert_true(is_durable(table, e));
    }
    assert_int_equal(stats(table).recovered, 1);
    assert_int_equal(stats(table).used, 2 * TR_KINDS);
}

static slot_t *only_slot(const tr_table_t *table)
{
    for (uint32_t b = 0; b < table->buckets; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            if (is_valid(atomic_load(&table->bucket[b].slot[i].meta)))
                return &table->bucket[b].slot[i];
        }
    }
    fail_msg("the table is empty");
    return NULL;
}

static void nobody_vouches_for_what_a_dead_writer_lengthened(void **state)
{
    /*
     * set_durable needs no lock. Whoever is in the middle of it, and has looked at the entry while it was being lengthened,
     * must fail although its writer has died meanwhile and the next one has repaired the table.
     */
    tr_table_t *table = create(10, *state);
    insert(table, token("a", NOW + 60));
    slot_t *slot = only_slot(table);
    tr_table_begin_locked(table);
    atomic_store(&slot->meta, make_valid(next_meta(atomic_load(&slot->meta), TR_KIND_TOKEN, false)));
    uint16_t seen = atomic_load(&slot->meta); /* and NOW + 60: as was stored */
    atomic_store(&slot->expires_s, NOW + 90);
    /* The writer dies, another comes. */
    tr_table_begin_locked(table);
    tr_table_end_locked(table);
    atomic_compare_exchange_strong(&slot->meta, &seen, (uint16_t)(seen | META_DURABLE));
    assert_false(is_durable(table, token("a", NOW + 90)));
}

static void readers_do_not_mind_what_is_durable(void **state)
{
    tr_table_t *table = create(100, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        tr_entry_t e = entry((tr_kind_t)kind, "v", NOW + 60, CUT + kind);
        bool has_cut_off = tr_kind_has_cut_off((tr_kind_t)kind);
        apr_time_t before = 0, after = 0;
        insert(table, e);
        assert_true(found_at(table, &before, e));
        set_durable(table, e);
        assert_true(found_at(table, &after, e));
        assert_true(before == after && (!has_cut_off || after == CUT + kind));
        assert_int_equal(stats(table).by_kind[kind], 1);
    }
    sweep(table, NOW + 61);
    assert_int_equal(stats(table).used, 0);
}

/* ---- many at once ------------------------------------------------------------------------------------------ */

static apr_status_t insert_many(tr_table_t *table, const tr_entry_t *entries, int n, bool durable, int64_t now_s)
{
    tr_table_begin_locked(table);
    apr_status_t rv = tr_table_insert_many_locked(table, entries, n, durable, now_s);
    tr_table_end_locked(table);
    return rv;
}

static tr_entry_t *some_entries(int n, apr_pool_t *pool)
{
    tr_entry_t *entries = apr_palloc(pool, (apr_size_t)n * sizeof *entries);
    for (int i = 0; i < n; i++)
        entries[i] = entry((tr_kind_t)(i % TR_KINDS), tt_print(pool, "%d", i), NOW + 60 + i % 10, CUT + i);
    return entries;
}

static void many_entries_are_put_in_at_once(void **state)
{
    static const int counts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        tr_table_t *table = create(1000, *state);
        tr_entry_t *entries = some_entries(1001, *state);
        bool durable = c % 2;
        assert_int_equal(insert_many(table, entries, counts[c], durable, NOW), APR_SUCCESS);
        assert_int_equal(stats(table).used, counts[c]);
        for (int i = 0; i < 1001; i++) {
            assert_int_equal(found(table, entries[i]), i < counts[c]);
            assert_int_equal(is_durable(table, entries[i]), durable && i < counts[c]);
        }
    }
}

static void the_first_that_finds_no_place_ends_it(void **state)
{
    tr_table_t *table = create(50, *state);
    tr_entry_t *entries = some_entries(100, *state);
    assert_int_equal(insert_many(table, entries, 100, true, NOW), APR_ENOSPC);
    assert_int_equal(stats(table).used, 50);
    assert_int_equal(stats(table).full, 1);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(found(table, entries[i]), i < 50);
        assert_int_equal(is_durable(table, entries[i]), i < 50);
    }
    assert_int_equal(insert_many(table, entries, 50, false, NOW), APR_SUCCESS);
    assert_true(is_durable(table, entries[49]));
}

static void the_same_entry_twice_among_many_is_the_stricter_one(void **state)
{
    tr_table_t *table = create(50, *state);
    tr_entry_t entries[3] = {entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT), entry(TR_KIND_SUBJECT, "s", NOW + 30, CUT + 7),
                             entry(TR_KIND_SUBJECT, "s", NOW + 90, CUT + 1)};
    apr_time_t cut_off = 0;
    assert_int_equal(insert_many(table, entries, 3, true, NOW), APR_SUCCESS);
    assert_int_equal(stats(table).used, 1);
    assert_true(found_at(table, &cut_off, entries[0]) && cut_off == CUT + 7);
    /* No single row on disk has both. */
    assert_false(is_durable(table, entry(TR_KIND_SUBJECT, "s", NOW + 90, CUT + 7)));
}

static void learning_what_is_on_disk_does_not_vouch_for_what_is_not(void **state)
{
    tr_table_t *table = create(50, *state);
    tr_entry_t old = token("a", NOW + 60), longer = token("a", NOW + 90);
    insert(table, longer);
    assert_int_equal(insert_many(table, &old, 1, true, NOW), APR_SUCCESS);
    assert_false(is_durable(table, longer));
    assert_int_equal(insert_many(table, &longer, 1, true, NOW), APR_SUCCESS);
    assert_true(is_durable(table, longer));
    assert_int_equal(insert_many(table, &old, 1, false, NOW), APR_SUCCESS);
    assert_true(is_durable(table, longer));
}

/* ---- has anything changed? --------------------------------------------------------------------------------- */

static bool has_changed(const tr_table_t *table, uint64_t *seen)
{
    uint64_t before = *seen;

    *seen = tr_table_changes(table);
    return *seen != before;
}

static void whatever_may_end_a_token_is_a_change(void **state)
{
    tr_table_t *table = create(50, *state);
    tr_entry_t many[] = {token("b", NOW + 60), token("c", NOW + 60)};
    uint64_t seen = tr_table_changes(table);
    insert(table, token("a", NOW + 60));
    assert_true(has_changed(table, &seen));
    assert_int_equal(insert_many(table, many, 2, true, NOW), APR_SUCCESS);
    assert_true(has_changed(table, &seen));
    insert(table, entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT));
    assert_true(has_changed(table, &seen));
    insert(table, entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT + 1000000));
    assert_true(has_changed(table, &seen));
}

static void what_ends_no_token_is_no_change(void **state)
{
    tr_table_t *table = create(50, *state);
    uint64_t seen;
    insert(table, token("a", NOW + 60));
    insert(table, entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT));
    seen = tr_table_changes(table);
    insert(table, token("a", NOW + 60));
    insert(table, entry(TR_KIND_SUBJECT, "s", NOW + 30, CUT - 1000000));
    tr_table_begin_locked(table);
    tr_table_sweep_locked(table, NOW + 61, 0);
    tr_table_end_locked(table);
    assert_false(has_changed(table, &seen));
}

static void a_change_whose_writer_died_before_he_told_is_told_by_the_next(void **state)
{
    tr_table_t *table = create(50, *state);
    uint64_t seen = tr_table_changes(table);
    tr_table_begin_locked(table);
    assert_false(has_changed(table, &seen));
    tr_table_begin_locked(table);
    assert_true(has_changed(table, &seen));
    tr_table_end_locked(table);
}

/* All that writers do with a table in which every entry claims to lie further on than there are places. */
static void write_far(tr_table_t *table)
{
    tr_entry_t e = token("later", NOW + 2);
    for (uint32_t b = 0; b < table->buckets; b++)
        atomic_store(reach_of(table, b), UINT16_MAX);
    tr_table_begin_locked(table);
    tr_table_begin_locked(table); /* the one before died */
    for (uint32_t b = 0; b < table->buckets; b++)
        atomic_store(reach_of(table, b), UINT16_MAX);
    (void)!tr_table_insert_locked(table, &e, NOW);
    tr_table_raise_locked(table, &e);
    (void)tr_table_covers_locked(table, &e);
    tr_table_set_durable(table, &e);
    tr_table_sweep_locked(table, NOW + 10, 0);
    tr_table_end_locked(table);
}

static void a_foreign_reach_leads_no_writer_outside(void **state)
{
    apr_size_t size = tr_table_size(8), page = (apr_size_t)sysconf(_SC_PAGESIZE), beyond = (apr_size_t)UINT16_MAX * 64;
    apr_size_t room = (size + page - 1) / page * page;
    char *base = mmap(NULL, room + beyond, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tr_table_t *table = NULL;
    int status = -1;
    pid_t child;
    assert_ptr_not_equal(base, MAP_FAILED);
    assert_int_equal(mprotect(base, room, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(tr_table_create(&table, base + room - size, size, 8, NULL, *state), APR_SUCCESS);
    insert(table, token("soon", NOW + 1));
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the tests */
        write_far(table);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    munmap(base, room + beyond);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(an_entry_is_durable_once_that_is_said_and_not_before),
        TT_TEST(an_entry_that_is_not_there_does_not_become_durable),
        TT_TEST(a_durable_entry_covers_whatever_is_less_strict),
        TT_TEST(the_cut_off_of_a_token_does_not_matter),
        TT_TEST(a_longer_life_must_be_stored_anew),
        TT_TEST(a_later_cut_off_must_be_stored_anew),
        TT_TEST(storing_what_was_overtaken_proves_nothing),
        TT_TEST(the_next_entry_in_a_place_does_not_inherit),
        TT_TEST(what_was_swept_is_not_durable_when_it_comes_back),
        TT_TEST(after_a_writer_died_everything_must_be_stored_anew),
        TT_TEST(nobody_vouches_for_what_a_dead_writer_lengthened),
        TT_TEST(readers_do_not_mind_what_is_durable),
        TT_TEST(many_entries_are_put_in_at_once),
        TT_TEST(the_first_that_finds_no_place_ends_it),
        TT_TEST(the_same_entry_twice_among_many_is_the_stricter_one),
        TT_TEST(learning_what_is_on_disk_does_not_vouch_for_what_is_not),
        TT_TEST(whatever_may_end_a_token_is_a_change),
        TT_TEST(what_ends_no_token_is_no_change),
        TT_TEST(a_change_whose_writer_died_before_he_told_is_told_by_the_next),
        TT_TEST(a_foreign_reach_leads_no_writer_outside),
    };
    return TT_RUN(tests);
}
