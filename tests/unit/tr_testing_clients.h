/*
 * tr_testing_clients.h: hashes of one secret by every program and algorithm that administrators use: htpasswd 2.4 and OpenSSL 3.
 */
#ifndef TR_TESTING_CLIENTS_H
#define TR_TESTING_CLIENTS_H

#define TT_SECRET "open sesame"

#define TT_BCRYPT "$2y$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc." /* htpasswd -B -C 4 */
#define TT_SHA1 "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac="                              /* htpasswd -s */
#define TT_SHA1_OTHER "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="                        /* htpasswd -s, of the empty secret */

static const char *const tt_hashes[] = {
    TT_BCRYPT,
    "$2a$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.", /* the same by its other names */
    "$2b$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.",
    "$2y$08$flnUBNKUQKHbLUH5b7hGq.lWGU78RuDrvoFXuvr0PP9Cm1J.re76C", /* htpasswd -B -C 8 */
    "$apr1$O6Fpk2H/$s3UNBrJyrRFsTkBP8GKte1",                        /* htpasswd -m */
    TT_SHA1,
    "SfJB1juQGYY.6",                                                             /* htpasswd -d */
    "$5$ei3kFg4OVwpaEUgn$bW0ZDFUlXPzlNrJ9DRkc/YCqR93H360yXDT.7XZooR5",           /* htpasswd -2 */
    "$6$AzSTNWbdlCNnfCv4$Prc42.Xt3Gk2LPAVtkAhIsBlHywd4Wh/JY96FyDINoDdKAFF4W8zG/" /* htpasswd -5 */
    "fBzLTOhx8mwWAbtecYXVB7tmyIQsWH60",
    "$5$rounds=2000$6ficrSQY1gSSDHwU$BdpB7AC8p5spnSsdl8j5I3AQzTRZnmMhkCsJPWcPrbC", /* htpasswd -2 -r 2000 */
    "$apr1$d5GiUJPM$k9aouUQwogFNrqcUdR34e.",                                       /* openssl passwd -apr1 */
    "$1$mZLHWmWm$dOqQpaK7YnYmnTp6kDlum/",                                          /* openssl passwd -1 */
    "$5$U9w4ZWQBHMnR6Nid$UGSa.y4fesRm/comQtaGK1m1RpQXRv1UKIj2UY/pMKD",             /* openssl passwd -5 */
    "$6$HyR62Y.HJfE4fE1m$oPz2BrYTH2j0YSShzH3cJvhKnZU82xZtkt0yENaMBn5xxbrWC8r9Wp/"  /* openssl passwd -6 */
    "TKbDFVudkoo7DPOYskIQw.CQybPQji1",
};
#define TT_HASHES (sizeof tt_hashes / sizeof *tt_hashes)

#endif
