/*
 * keys.c: keys and tokens as the unit tests make them.
 */
#include "../unit/tr_testing.c"
