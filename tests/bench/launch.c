/*
 * bench_launch COMMAND...: seconds that a program takes from its start to its end, the median of
 * many.
 */
#include "bench.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STARTS = 51 };

int main(int argc, char **argv) {
    double seconds[STARTS];
    if (argc < 2)
        bench_die("usage: bench_launch COMMAND...");
    for (int i = 0; i < STARTS; i++) {
        int status = 0;
        double begin = bench_now();
        pid_t pid = fork();
        if (pid == 0) {
            execv(argv[1], argv + 1);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            bench_die("%s ends with %d", argv[1], status);
        seconds[i] = bench_now() - begin;
    }
    printf("%.6f\n", bench_quantile(seconds, STARTS, 0.5));
    return 0;
}
