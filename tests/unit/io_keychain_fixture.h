/*
 * io_keychain_fixture.h - a real gnome-keyring-daemon on a session bus of its own, without a
 * display. Tests skip where the daemons or libsecret are missing (home is NULL then). GLib connects
 * a process to one bus for good, so all tests of a program share it; the folder is that of the
 * first.
 */
#ifndef INST_TESTS_IO_KEYCHAIN_FIXTURE_H
#define INST_TESTS_IO_KEYCHAIN_FIXTURE_H

#include "io_vault_fixture.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct fixture *home; /* of the daemons */
static pid_t bus, keyring;

static const struct inst_vault_config keychain = {.kind = INST_VAULT_KEYCHAIN};

static bool has_program(const char *name) {
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null", name);
    return system(command) == 0;
}

/* GIO loses a few bytes of its own in every write, which only whole call stacks show. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libgio-2.0\n"; }

static bool is_in_valgrind(void) {
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload");
}

static bool has_everything(void) {
    return !is_in_valgrind() && has_program("dbus-daemon") && has_program("gnome-keyring-daemon") &&
           system("ldconfig -p | grep -q libsecret-1.so.0") == 0;
}

static pid_t start(const char *const *argv, int in, int out) {
    pid_t child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(in, 0);
        dup2(out, 1);
        dup2(nothing, 2);
        unsetenv("LD_PRELOAD");
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return child;
}

static void end(pid_t *child) {
    int status;
    if (*child <= 0)
        return;
    kill(*child, SIGKILL);
    waitpid(*child, &status, 0);
    *child = 0;
}

/* Everything that the child writes up to the first newline. */
static void read_line(int fd, char *out, size_t size) {
    size_t n = 0;
    while (n + 1 < size && read(fd, out + n, 1) == 1 && out[n] != '\n')
        n++;
    out[n] = '\0';
}

/* A bus without any service that it could start by itself. */
static void start_bus(void) {
    char path[96], address[256], config[512];
    int ends[2];
    snprintf(path, sizeof path, "%s/bus.conf", home->dir);
    int len = snprintf(config, sizeof config,
                       "<busconfig><type>session</type><listen>unix:dir=%s</listen>"
                       "<auth>EXTERNAL</auth><policy context='default'>"
                       "<allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/>"
                       "<allow own='*'/></policy></busconfig>",
                       home->dir);
    write_file(path, config, (size_t)len);
    strcat(strcpy(config, "--config-file="), path);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const char *argv[] = {"dbus-daemon", config, "--nofork", "--print-address", NULL};
    bus = start(argv, 0, ends[1]);
    close(ends[1]);
    read_line(ends[0], address, sizeof address);
    close(ends[0]);
    assert_true(strncmp(address, "unix:", 5) == 0);
    setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
    setenv("XDG_DATA_HOME", home->dir, 1);
    setenv("XDG_RUNTIME_DIR", home->dir, 1);
    setenv("HOME", home->dir, 1);
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
}

/* Until its name is on the bus, of which the daemon says nothing. */
static void wait_for_keyring(void) {
    struct inst_vault *vault = NULL;
    for (int i = 0; i < 1000 && inst_vault_open(NULL, &keychain, &vault, NULL) != INST_OK; i++)
        usleep(10000);
    assert_non_null(vault);
    inst_vault_close(vault);
}

/* password NULL: it stays locked. */
static void start_keyring(const char *password) {
    int in[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    const char *unlocked[] = {"gnome-keyring-daemon", "--foreground", "--components=secrets",
                              "--unlock", NULL};
    const char *locked[] = {"gnome-keyring-daemon", "--foreground", "--components=secrets", NULL};
    keyring = start(password ? unlocked : locked, in[0], 2);
    close(in[0]);
    if (password)
        assert_int_equal(write(in[1], password, strlen(password)), strlen(password));
    close(in[1]);
    wait_for_keyring();
}

static int start_all(void **state) {
    (void)state;
    return has_everything() ? setup((void **)&home) : 0;
}

static int end_all(void **state) {
    (void)state;
    end(&keyring);
    end(&bus);
    return home ? teardown((void **)&home) : 0;
}

static int end_keyring(void **state) {
    end(&keyring);
    return teardown(state);
}

#endif
