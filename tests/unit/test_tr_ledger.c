/*
 * The ledger: in force first, then durable, and honest about both.
 */
#include "tr_ledger.h"

#include <sys/ipc.h>
#include <sys/sem.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

/* A store that remembers what it was asked, and answers as told. */
typedef struct store_t {
    apr_status_t answer;
    int calls, listed;
    int64_t last_seq;
    bool in_force, lock_was_free;
    tr_entry_t entry;
    tr_circumstances_t circumstances;
    apr_time_t now;
    tt_world_t *world;
} store_t;

static bool in_force(const tt_world_t *world, const tr_entry_t *e)
{
    return tr_table_lookup(world->table, NULL, tr_table_mark(world->table, e->kind, e->issuer, e->value));
}

static apr_status_t append(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    store_t *store = baton;
    store->calls++;
    store->listed = n;
    store->entry = list[n - 1]->entry;
    store->circumstances = list[n - 1]->circumstances;
    store->now = now;
    store->in_force = true;
    for (int i = 0; i < n; i++) {
        store->in_force = store->in_force && in_force(store->world, &list[i]->entry);
        list[i]->seq = ++store->last_seq;
    }
    store->lock_was_free = apr_global_mutex_trylock(store->world->lock) == APR_SUCCESS;
    if (store->lock_was_free)
        apr_global_mutex_unlock(store->world->lock);
    return store->answer;
}

static tr_entry_t entry(const char *value, int64_t expires_s)
{
    tr_entry_t e;
    memset(&e, 0, sizeof e);
    e.kind = TR_KIND_TOKEN;
    e.issuer = tr_str_z(TT_ISS);
    e.value = tr_str_z(value);
    e.expires_s = expires_s;
    return e;
}

static apr_status_t revoke_at(tr_ledger_t *ledger, tr_entry_t e, int64_t now_s)
{
    tr_circumstances_t c = {tr_str_z("bob"), tr_str_z("192.0.2.1"), tr_str_z("stolen")};
    return tr_ledger_revoke(ledger, &e, &c, TT_AT(now_s));
}

static store_t *make_store(tt_world_t *world, apr_status_t answer)
{
    store_t *store = apr_pcalloc(world->pool, sizeof *store);
    store->answer = answer;
    store->world = world;
    world->ledger = tr_ledger_make(world->table, world->lock, append, store, world->pool);
    return store;
}

static void without_a_store_a_revocation_is_in_force(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_entry_t e = entry("j", TT_NOW + 60);
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_true(in_force(world, &e));
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    tr_table_stats_t stats;
    tr_table_stats(&stats, world->table);
    assert_int_equal(stats.used, 1);
}

static void the_store_is_asked_after_the_entry_is_in_force_and_without_the_lock(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
    assert_true(store->in_force);
    assert_true(store->lock_was_free);
    assert_str_is(store->entry.value, "j");
    assert_str_is(store->entry.issuer, TT_ISS);
    assert_true(store->entry.expires_s == TT_NOW + 60);
    assert_str_is(store->circumstances.actor, "bob");
    assert_str_is(store->circumstances.client_address, "192.0.2.1");
    assert_str_is(store->circumstances.reason, "stolen");
    assert_true(store->now == TT_AT(TT_NOW));
}

static void a_failing_store_fails_the_revocation(void **state)
{
    static const apr_status_t failures[] = {APR_EGENERAL, APR_ENOSPC, APR_EOF, APR_TIMEUP, APR_ENOMEM};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        store_t *store = make_store(world, failures[i]);
        tr_entry_t e = entry(tt_print(*state, "j%zu", i), TT_NOW + 60);
        assert_int_equal(revoke_at(world->ledger, e, TT_NOW), failures[i]);
        assert_int_equal(store->calls, 1);
        assert_true(store->lock_was_free);
        /* In force nevertheless; and until it is on disk, the store is asked each time. */
        assert_true(in_force(world, &e));
        assert_int_equal(revoke_at(world->ledger, e, TT_NOW), failures[i]);
        assert_int_equal(store->calls, 2);
        store->answer = APR_SUCCESS;
        assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
        assert_int_equal(store->calls, 3);
        assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
        assert_int_equal(store->calls, 3);
    }
}

static void a_full_table_is_said_and_not_stored(void **state)
{
    tt_world_t *world = tt_world(*state, 2);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("b", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("c", TT_NOW + 60), TT_NOW), APR_ENOSPC);
    assert_int_equal(store->calls, 2);
    tr_entry_t c = entry("c", TT_NOW + 60);
    assert_false(in_force(world, &c));
    /* What is already in force can be revoked again, and expired places heal the table. */
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 70), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("c", TT_NOW + 600), TT_NOW + 65), APR_SUCCESS);
}

static void the_lock_is_free_afterwards_whatever_happened(void **state)
{
    tt_world_t *world = tt_world(*state, 1);
    store_t *store = make_store(world, APR_EGENERAL);
    (void)store;
    for (int i = 0; i < 5; i++) {
        (void)!revoke_at(world->ledger, entry(tt_print(*state, "%d", i), TT_NOW + 60), TT_NOW);
        assert_int_equal(apr_global_mutex_trylock(world->lock), APR_SUCCESS);
        apr_global_mutex_unlock(world->lock);
    }
    assert_int_equal(tr_ledger_tidy(world->ledger, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_trylock(world->lock), APR_SUCCESS);
    apr_global_mutex_unlock(world->lock);
}

/* A lock that the system has taken away: System V has that. */
static void lose_lock(void *baton)
{
    apr_os_global_mutex_t both;
    apr_os_proc_mutex_t os;
    tt_world_t *world = baton;
    assert_int_equal(apr_os_global_mutex_get(&both, world->lock), APR_SUCCESS);
    assert_int_equal(apr_os_proc_mutex_get(&os, both.proc_mutex), APR_SUCCESS);
    assert_int_equal(semctl(os.crossproc, 0, IPC_RMID), 0);
}

static tt_world_t *world_of_sysv(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    if (apr_global_mutex_create(&world->lock, NULL, APR_LOCK_SYSVSEM, pool) != APR_SUCCESS)
        return NULL;
    world->ledger = tr_ledger_make(world->table, world->lock, NULL, NULL, pool);
    return world;
}

static void without_the_lock_nothing_changes(void **state)
{
    tt_world_t *world = world_of_sysv(*state);
    tr_entry_t e = entry("a", TT_NOW + 60);
    if (world == NULL)
        skip();
    lose_lock(world);
    assert_int_not_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_int_not_equal(tr_ledger_learn(world->ledger, &e, 1, true, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_not_equal(tr_ledger_find(world->ledger, &e), APR_SUCCESS);
    assert_false(in_force(world, &e));
}

static void a_lock_that_was_lost_meanwhile_is_a_failure(void **state)
{
    tt_world_t *world = world_of_sysv(*state), *small = tt_world(*state, 1);
    if (world == NULL)
        skip();
    assert_int_equal(revoke_at(small->ledger, entry("full", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    tr_ledger_also(world->ledger, small->table, lose_lock, world);
    assert_int_not_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
}

static bool always(void *baton)
{
    (void)baton;
    return true;
}

static void a_table_that_is_not_the_newest_answers_for_nothing(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t e = entry("a", TT_NOW + 60);
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_int_equal(tr_ledger_find(world->ledger, &e), APR_SUCCESS);
    tr_ledger_watch(world->ledger, always, NULL);
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), TR_LEDGER_SUPERSEDED);
    assert_int_equal(revoke_at(world->ledger, entry("b", TT_NOW + 60), TT_NOW), TR_LEDGER_SUPERSEDED);
    assert_int_equal(tr_ledger_find(world->ledger, &e), TR_LEDGER_SUPERSEDED);
}

static void tidying_reclaims_what_expired_and_nothing_else(void **state)
{
    tt_world_t *world = tt_world(*state, 1000);
    tr_table_stats_t stats;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(revoke_at(world->ledger, entry(tt_print(*state, "%d", i), i % 2 ? TT_NOW + 60 : TT_NOW + 6000), TT_NOW),
                         APR_SUCCESS);
    for (int round = 0; round < 2000; round++)
        assert_int_equal(tr_ledger_tidy(world->ledger, TT_AT(TT_NOW + 100)), APR_SUCCESS);
    tr_table_stats(&stats, world->table);
    assert_int_equal(stats.used, 500);
    for (int i = 0; i < 1000; i++) {
        tr_entry_t e = entry(tt_print(*state, "%d", i), 0);
        assert_int_equal(in_force(world, &e), i % 2 == 0);
    }
}

static void tidying_alone_empties_a_large_table_in_good_time(void **state)
{
    tt_world_t *world = tt_world(*state, 100000);
    tr_table_stats_t stats;
    for (int i = 0; i < 20000; i++)
        assert_int_equal(revoke_at(world->ledger, entry(tt_print(*state, "%d", i), TT_NOW + 60), TT_NOW), APR_SUCCESS);
    int rounds = 0;
    do {
        assert_int_equal(tr_ledger_tidy(world->ledger, TT_AT(TT_NOW + 100)), APR_SUCCESS);
        tr_table_stats(&stats, world->table);
    } while (stats.used > 0 && ++rounds < 3600);
    assert_int_equal(stats.used, 0);
}

/* ---- revoked before ---------------------------------------------------------------------------------------- */

static void what_is_stored_is_not_stored_again(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 1), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
    /* Also while the store is ill: nothing is asked of it. */
    store->answer = APR_EGENERAL;
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
}

static void what_grows_is_stored_again(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_entry_t e = entry("alice", TT_NOW + 60);
    e.kind = TR_KIND_SUBJECT;
    e.issued_before = TT_AT(TT_NOW);
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    e.expires_s += 1;
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 2);
    assert_true(store->entry.expires_s == TT_NOW + 61);
    e.issued_before += 1;
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 3);
    assert_true(store->entry.issued_before == TT_AT(TT_NOW) + 1);
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 3);
}

static void what_grew_and_failed_is_stored_again_whoever_asks(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    store->answer = APR_EGENERAL;
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 90), TT_NOW), APR_EGENERAL);
    assert_int_equal(store->calls, 2);
    store->answer = APR_SUCCESS;
    assert_int_equal(revoke_at(world->ledger, entry("j", TT_NOW + 90), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 3);
}

/* ---- learning ---------------------------------------------------------------------------------------------- */

static apr_status_t learn(tt_world_t *world, const char *const *values, int n, bool durable)
{
    tr_entry_t entries[10];
    for (int i = 0; i < n; i++)
        entries[i] = entry(values[i], TT_NOW + 60);
    return tr_ledger_learn(world->ledger, entries, n, durable, TT_AT(TT_NOW));
}

static void what_is_learned_is_in_force_and_not_stored(void **state)
{
    static const char *const values[] = {"a", "b", "c"};
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(learn(world, values, 3, true), APR_SUCCESS);
    for (int i = 0; i < 3; i++) {
        tr_entry_t e = entry(values[i], 0);
        assert_true(in_force(world, &e));
    }
    assert_int_equal(learn(world, NULL, 0, true), APR_SUCCESS);
    assert_int_equal(store->calls, 0);
    assert_int_equal(apr_global_mutex_trylock(world->lock), APR_SUCCESS);
    apr_global_mutex_unlock(world->lock);
}

static void what_is_learned_as_durable_is_not_stored_when_it_is_revoked(void **state)
{
    static const char *const values[] = {"a", "b"};
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(learn(world, values, 2, true), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("b", TT_NOW + 5), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 0);
    assert_int_equal(revoke_at(world->ledger, entry("b", TT_NOW + 61), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
}

static void what_is_learned_as_not_durable_is_stored_when_it_is_revoked(void **state)
{
    static const char *const values[] = {"a"};
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    assert_int_equal(learn(world, values, 1, false), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
    /* Hearing of it again does not take back what is known. */
    assert_int_equal(learn(world, values, 1, false), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
}

static void learning_says_when_the_table_is_full(void **state)
{
    static const char *const values[] = {"a", "b", "c"};
    tt_world_t *world = tt_world(*state, 2);
    make_store(world, APR_SUCCESS);
    assert_int_equal(learn(world, values, 3, true), APR_ENOSPC);
    assert_int_equal(learn(world, values, 2, true), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_trylock(world->lock), APR_SUCCESS);
    apr_global_mutex_unlock(world->lock);
}

/* ---- earlier tables ---------------------------------------------------------------------------------------- */

typedef struct full_t {
    int calls;
} full_t;

static void note_full(void *baton)
{
    ((full_t *)baton)->calls++;
}

static void every_table_gets_everything(void **state)
{
    static const char *const values[] = {"learned"};
    tt_world_t *world = tt_world(*state, 10), *first = tt_world(*state, 10), *second = tt_world(*state, 20);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_entry_t learned = entry("learned", 0), revoked = entry("revoked", TT_NOW + 60), failed = entry("failed", TT_NOW + 60);
    full_t full = {0};
    tr_ledger_also(world->ledger, first->table, note_full, &full);
    tr_ledger_also(world->ledger, second->table, note_full, &full);
    assert_int_equal(learn(world, values, 1, true), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, revoked, TT_NOW), APR_SUCCESS);
    store->answer = APR_EGENERAL;
    assert_int_equal(revoke_at(world->ledger, failed, TT_NOW), APR_EGENERAL);
    for (int i = 0; i < 3; i++) {
        const tt_world_t *one = i == 0 ? world : i == 1 ? first : second;
        assert_true(in_force(one, &learned) && in_force(one, &revoked) && in_force(one, &failed));
    }
    assert_int_equal(full.calls, 0);
}

static void what_an_earlier_table_cannot_hold_is_said_and_in_force_in_the_newest(void **state)
{
    static const char *const values[] = {"learned"};
    tt_world_t *world = tt_world(*state, 10), *small = tt_world(*state, 1), *roomy = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_entry_t a = entry("a", TT_NOW + 60), b = entry("b", TT_NOW + 60), learned = entry("learned", 0);
    full_t small_full = {0}, roomy_full = {0};
    tr_ledger_also(world->ledger, small->table, note_full, &small_full);
    tr_ledger_also(world->ledger, roomy->table, note_full, &roomy_full);
    assert_int_equal(revoke_at(world->ledger, a, TT_NOW), APR_SUCCESS);
    assert_int_equal(small_full.calls, 0);
    assert_int_equal(revoke_at(world->ledger, b, TT_NOW), APR_SUCCESS);
    assert_int_equal(small_full.calls, 1);
    assert_int_equal(store->calls, 2);
    assert_int_equal(learn(world, values, 1, true), APR_SUCCESS);
    assert_int_equal(small_full.calls, 2);
    assert_true(in_force(world, &b) && in_force(world, &learned));
    assert_true(in_force(roomy, &b) && in_force(roomy, &learned));
    assert_true(in_force(small, &a) && !in_force(small, &b));
    assert_int_equal(roomy_full.calls, 0);
}

static void an_earlier_table_makes_room_by_what_has_expired(void **state)
{
    tt_world_t *world = tt_world(*state, 10), *small = tt_world(*state, 1);
    tr_entry_t b = entry("b", TT_NOW + 600);
    full_t full = {0};
    tr_ledger_also(world->ledger, small->table, note_full, &full);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_int_equal(revoke_at(world->ledger, b, TT_NOW + 61), APR_SUCCESS);
    assert_true(in_force(small, &b));
    assert_int_equal(full.calls, 0);
}

static void what_is_stored_already_reaches_an_earlier_table_when_it_is_revoked_again(void **state)
{
    /* Loaded at a restart with another database, say, of which the earlier processes know nothing: 200 is for them, too. */
    static const char *const values[] = {"a"};
    tt_world_t *world = tt_world(*state, 10), *earlier = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_entry_t a = entry("a", TT_NOW + 60);
    full_t full = {0};
    assert_int_equal(learn(world, values, 1, true), APR_SUCCESS);
    tr_ledger_also(world->ledger, earlier->table, note_full, &full);
    assert_int_equal(revoke_at(world->ledger, a, TT_NOW), APR_SUCCESS);
    assert_int_equal(store->calls, 0);
    assert_true(in_force(world, &a));
    assert_true(in_force(earlier, &a));
}

static void there_are_no_more_earlier_tables_than_were_promised(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_entry_t e = entry("a", TT_NOW + 60);
    tt_world_t *also[TR_LEDGER_ALSO + 2];
    full_t full = {0};
    for (int i = 0; i < TR_LEDGER_ALSO + 2; i++) {
        also[i] = tt_world(*state, 10);
        tr_ledger_also(world->ledger, also[i]->table, note_full, &full);
    }
    assert_int_equal(revoke_at(world->ledger, e, TT_NOW), APR_SUCCESS);
    for (int i = 0; i < TR_LEDGER_ALSO + 2; i++)
        assert_int_equal(in_force(also[i], &e), i < TR_LEDGER_ALSO);
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

static void fill(tr_revocation_t *list, int n, apr_pool_t *pool)
{
    memset(list, 0xee, sizeof *list * (size_t)n);
    for (int i = 0; i < n; i++) {
        list[i].entry = entry(tt_print(pool, "l%d", i), TT_NOW + 60);
        memset(&list[i].circumstances, 0, sizeof list[i].circumstances);
    }
}

static void a_list_is_in_force_and_stored_with_one_call(void **state)
{
    tt_world_t *world = tt_world(*state, 2000);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_revocation_t *list = apr_palloc(*state, sizeof *list * TR_MAX_ADMIN_ITEMS);
    fill(list, TR_MAX_ADMIN_ITEMS, *state);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, TR_MAX_ADMIN_ITEMS, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(store->calls, 1);
    assert_int_equal(store->listed, TR_MAX_ADMIN_ITEMS);
    assert_true(store->in_force);
    assert_true(store->lock_was_free);
    for (int i = 0; i < TR_MAX_ADMIN_ITEMS; i++) {
        assert_true(list[i].seq == i + 1);
        assert_false(list[i].was_there);
        assert_false(list[i].was_known);
    }
}

static void a_list_of_none_or_too_many_is_refused(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revocation_t one;
    fill(&one, 1, *state);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, 0, false, TT_AT(TT_NOW)), APR_EINVAL);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, -1, false, TT_AT(TT_NOW)), APR_EINVAL);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, TR_MAX_ADMIN_ITEMS + 1, false, TT_AT(TT_NOW)), APR_EINVAL);
}

static void what_was_known_of_a_list_is_stored_again_only_for_the_record(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_revocation_t list[3];
    assert_int_equal(revoke_at(world->ledger, entry("l1", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    fill(list, 3, *state);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 3, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(store->listed, 2);
    assert_true(list[1].was_there && list[1].was_known && list[1].seq == 0);
    assert_true(!list[0].was_known && list[0].seq > 0 && list[2].seq > list[0].seq);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 3, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(store->calls, 2);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 3, true, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(store->calls, 3);
    assert_int_equal(store->listed, 3);
    for (int i = 0; i < 3; i++)
        assert_true(list[i].was_there && list[i].was_known && list[i].seq > 0);
}

static void the_same_twice_in_a_list_is_there_the_second_time(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revocation_t list[2];
    make_store(world, APR_SUCCESS);
    fill(list, 2, *state);
    list[1].entry.value = list[0].entry.value;
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 2, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_true(!list[0].was_there && list[1].was_there && !list[1].was_known);
}

static void what_could_not_be_stored_is_there_but_not_known(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_EGENERAL);
    tr_revocation_t list[2];
    fill(list, 2, *state);
    assert_int_equal(tr_ledger_find(world->ledger, &list[0].entry), APR_NOTFOUND);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 2, false, TT_AT(TT_NOW)), APR_EGENERAL);
    assert_true(in_force(world, &list[0].entry) && in_force(world, &list[1].entry));
    assert_int_equal(tr_ledger_find(world->ledger, &list[0].entry), APR_NOTFOUND);
    store->answer = APR_SUCCESS;
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 2, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_true(list[0].was_there && !list[0].was_known);
    assert_int_equal(tr_ledger_find(world->ledger, &list[0].entry), APR_SUCCESS);
    list[0].entry.expires_s++;
    assert_int_equal(tr_ledger_find(world->ledger, &list[0].entry), APR_NOTFOUND);
}

static void without_a_store_what_is_in_force_is_known(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revocation_t one;
    fill(&one, 1, *state);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, 1, true, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_true(!one.was_there && !one.was_known && one.seq == 0);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, 1, true, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_true(one.was_there && one.was_known && one.seq == 0);
    assert_int_equal(tr_ledger_find(world->ledger, &one.entry), APR_SUCCESS);
}

static void a_cut_off_is_stored_as_it_is_in_force(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_revocation_t one;
    fill(&one, 1, *state);
    one.entry.kind = TR_KIND_SUBJECT;
    one.entry.issued_before = TT_AT(TT_NOW);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, 1, false, TT_AT(TT_NOW)), APR_SUCCESS);
    one.entry.issued_before = TT_AT(TT_NOW - 5);
    one.entry.expires_s += 100;
    assert_int_equal(tr_ledger_revoke_all(world->ledger, &one, 1, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(store->calls, 2);
    assert_true(store->entry.issued_before == TT_AT(TT_NOW));
    assert_true(store->entry.expires_s == TT_NOW + 160);
}

static void an_end_is_stored_as_it_is_in_force(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    store_t *store = make_store(world, APR_EGENERAL);
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 500), TT_NOW), APR_EGENERAL);
    store->answer = APR_SUCCESS;
    assert_int_equal(revoke_at(world->ledger, entry("a", TT_NOW + 60), TT_NOW), APR_SUCCESS);
    assert_true(store->entry.expires_s == TT_NOW + 500);
}

static void a_list_that_does_not_fit_fails_and_is_not_stored(void **state)
{
    tt_world_t *world = tt_world(*state, 2);
    store_t *store = make_store(world, APR_SUCCESS);
    tr_revocation_t list[3];
    fill(list, 3, *state);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 3, false, TT_AT(TT_NOW)), APR_ENOSPC);
    assert_int_equal(store->calls, 0);
    for (int i = 0; i < 3; i++)
        assert_false(in_force(world, &list[i].entry));
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 2, false, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(tr_ledger_revoke_all(world->ledger, list, 2, true, TT_AT(TT_NOW)), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(without_a_store_a_revocation_is_in_force),
        TT_TEST(the_store_is_asked_after_the_entry_is_in_force_and_without_the_lock),
        TT_TEST(a_failing_store_fails_the_revocation),
        TT_TEST(a_full_table_is_said_and_not_stored),
        TT_TEST(the_lock_is_free_afterwards_whatever_happened),
        TT_TEST(without_the_lock_nothing_changes),
        TT_TEST(a_lock_that_was_lost_meanwhile_is_a_failure),
        TT_TEST(a_table_that_is_not_the_newest_answers_for_nothing),
        TT_TEST(tidying_reclaims_what_expired_and_nothing_else),
        TT_TEST(tidying_alone_empties_a_large_table_in_good_time),
        TT_TEST(what_is_stored_is_not_stored_again),
        TT_TEST(what_grows_is_stored_again),
        TT_TEST(what_grew_and_failed_is_stored_again_whoever_asks),
        TT_TEST(what_is_learned_is_in_force_and_not_stored),
        TT_TEST(what_is_learned_as_durable_is_not_stored_when_it_is_revoked),
        TT_TEST(what_is_learned_as_not_durable_is_stored_when_it_is_revoked),
        TT_TEST(learning_says_when_the_table_is_full),
        TT_TEST(every_table_gets_everything),
        TT_TEST(what_an_earlier_table_cannot_hold_is_said_and_in_force_in_the_newest),
        TT_TEST(an_earlier_table_makes_room_by_what_has_expired),
        TT_TEST(what_is_stored_already_reaches_an_earlier_table_when_it_is_revoked_again),
        TT_TEST(a_list_is_in_force_and_stored_with_one_call),
        TT_TEST(a_list_of_none_or_too_many_is_refused),
        TT_TEST(what_was_known_of_a_list_is_stored_again_only_for_the_record),
        TT_TEST(the_same_twice_in_a_list_is_there_the_second_time),
        TT_TEST(what_could_not_be_stored_is_there_but_not_known),
        TT_TEST(without_a_store_what_is_in_force_is_known),
        TT_TEST(a_cut_off_is_stored_as_it_is_in_force),
        TT_TEST(an_end_is_stored_as_it_is_in_force),
        TT_TEST(a_list_that_does_not_fit_fails_and_is_not_stored),
        TT_TEST(there_are_no_more_earlier_tables_than_were_promised),
    };
    return TT_RUN(tests);
}
