/*
 * exit.c: in a build with COV=1 a process that ends by _exit() writes down what it has run first, as others do by themselves.
 */
#include <gcov.h>
#include <unistd.h>

void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn, visibility("hidden")));

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
