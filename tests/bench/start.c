/*
 * bench_start COMMAND...: starts a server (`... serve --port N`, N the last argument) and prints
 * rows: how long until it accepts a connection and answers a request, and what it occupies idle.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_LIMIT 10.0 /* s */
enum { STARTS = 5, IDLE_SECONDS = 2 };

static void sleep_ns(long ns) {
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&t, NULL);
}

static pid_t start(char **command) {
    pid_t pid = fork();
    if (pid < 0) {
        bench_die("cannot fork");
    }
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        execv(command[0], command);
        _exit(127);
    }
    return pid;
}

static void stop(pid_t pid) {
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

/* Asks for / until there is an answer; *accepted gets the time of the first connection. */
static void first_answer(pid_t pid, int port, double *accepted, double *answered) {
    static const char request[] = "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double begin = bench_now();
    for (;;) {
        char byte;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            *accepted = bench_now() - begin;
            if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0 ||
                recv(fd, &byte, 1, 0) != 1) {
                bench_die("connected, but no answer");
            }
            *answered = bench_now() - begin;
            close(fd);
            return;
        }
        close(fd);
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            bench_die("the server ended before it listened");
        }
        if (bench_now() - begin > START_LIMIT) {
            stop(pid);
            bench_die("no connection after %.0f s", START_LIMIT);
        }
        sleep_ns(200000);
    }
}

int main(int argc, char **argv) {
    double accepted[STARTS], answered[STARTS], rss[STARTS];
    int port = argc > 2 ? atoi(argv[argc - 1]) : 0;
    if (port <= 0) {
        bench_die("usage: bench_start COMMAND... PORT");
    }
    for (int i = 0; i < STARTS; i++) {
        pid_t pid = start(argv + 1);
        first_answer(pid, port, &accepted[i], &answered[i]);
        sleep_ns(IDLE_SECONDS * 1000000000L / STARTS);
        rss[i] = bench_rss_of(pid);
        stop(pid);
    }
    bench_row("serve: start to first connection", bench_quantile(accepted, STARTS, 0.5), -1, "s",
              "atmost", 0.05);
    bench_row("serve: start to first answer", bench_quantile(answered, STARTS, 0.5), -1, "s",
              "info", -1);
    bench_row("serve: resident while idle", bench_quantile(rss, STARTS, 0.5), -1, "B", "atmost",
              16 * 1024 * 1024);
    return 0;
}
