/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "config.h"
#include "http/server.h"
#include "module/load.h"
#include "remote/client.h"
#include "rpc/guest.h"
#include "rpc/rpc.h"
#include "serve/auth.h"
#include "shared/balance.h"
#include "shared/channel.h"
#include "shared/identities.h"
#include "shared/programs.h"
#include "shared/quota.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/standard.h"
#include "worker/build.h"
#include "worker/exit.h"
#include "worker/inspect.h"
#include "worker/modules.h"
#include "worker/otlp.h"
#include "worker/process-brick.h"
#include "worker/rlimits.h"
#include "worker/version.h"
#include "worker/worker.h"

/*
 * brickd-worker: serves one generation of the configuration, which it builds once and never
 * changes. The main process starts it with the descriptors of shared/channel.h. Users run it only
 * through brickd --inspect, --describe and --version.
 */

/* How long the end of gRPC core may take. Nothing is left to lose then. */
#define SHUTDOWN_SEC 2

static const char *arg_name = BRICKD_CONFIG_FILE;
static const char *arg_inspect;
static const char *arg_describe;
static unsigned long arg_worker;
static int arg_channel;
static bool arg_check;
static bool arg_version;

static struct state *state; /* never unmapped: the crash handler writes there */

static void set_creating(ssize_t brick)
{
        state_set_brick(state, STATE_CREATING, brick);
}

static void set_destroying(ssize_t brick)
{
        state_set_brick(state, STATE_DESTROYING, brick);
}

/* Tells the main process why this worker cannot serve. Gives the exit status. */
static int fail(int r, const char *what)
{
        char text[256];

        if (r == -ENOMEM)
                (void)snprintf(text, sizeof text, "out of memory");
        else
                (void)snprintf(text, sizeof text, "%s: %s", what, strerror(-r));
        channel_say(CHANNEL_FAILED, text);
        return EXIT_FAILURE;
}

/* The same for mistakes of the configuration, which are sent one by one. */
static int fail_config(const struct diag *diag)
{
        char text[64];
        const char *mistake;

        for (size_t i = 0; (mistake = diag_text(diag, i)); i++)
                channel_say(CHANNEL_DIAGNOSTIC, mistake);
        if (diag_count(diag) > DIAG_SHOWN_MAX) {
                (void)snprintf(text, sizeof text, "and %zu more",
                               diag_count(diag) - DIAG_SHOWN_MAX);
                channel_say(CHANNEL_DIAGNOSTIC, text);
        }
        channel_say(CHANNEL_FAILED, "the configuration has mistakes");
        return EX_CONFIG;
}

static int read_config(char **ret, size_t *ret_length)
{
        _cleanup_free_ char *bytes = NULL;
        struct stat st;
        ssize_t n;

        if (fstat(CHANNEL_FD_CONFIG, &st) < 0)
                return -errno;
        bytes = malloc((size_t)st.st_size + 1);
        if (!bytes)
                return -ENOMEM;
        n = pread(CHANNEL_FD_CONFIG, bytes, (size_t)st.st_size, 0);
        if (n != st.st_size)
                return n < 0 ? -errno : -EIO;
        bytes[n] = '\0';
        *ret = TAKE_PTR(bytes);
        *ret_length = (size_t)n;
        return 0;
}

/* Adds all ports even if one fails, so that diag gets the mistakes of all. */
static int add_ports(struct rpc *rpc, struct door *door, const struct conf *conf,
                     struct build *build, struct diag *diag)
{
        int result = 0;

        for (size_t i = 0; i < conf->n_ports; i++) {
                int fd = arg_check ? -1 : CHANNEL_FD_LISTEN + (int)i;
                const struct conf_port *port = &conf->ports[i];
                int r = port->protocol == PROTOCOL_HTTP
                                ? door_add_port(door, port, fd, build->instances, diag)
                                : rpc_add_port(rpc, port, fd, build->instances, diag);

                if (r < 0)
                        result = r;
        }
        return result;
}

static int open_identities(const struct conf *conf, struct stats *stats, struct quota **ret_quota,
                           struct identity_text **ret_text, struct auth **ret_auth)
{
        _cleanup_free_ char *bytes = NULL;
        size_t length;
        int r;

        r = quota_open(ret_quota, CHANNEL_FD_QUOTA, state_get_quota_row(state));
        if (r < 0)
                return r;
        r = identity_text_open(ret_text, CHANNEL_FD_IDENTITIES);
        if (r < 0)
                return r;
        r = identity_text_read(*ret_text, &bytes, &length);
        if (r < 0)
                return r;
        r = auth_new(ret_auth, conf, stats, *ret_quota);
        return r < 0 ? r : auth_set(*ret_auth, bytes, length);
}

static int attach_stats(struct stats **ret, const struct conf *conf)
{
        int r;

        r = stats_attach(ret, arg_check ? -EBADF : CHANNEL_FD_STATS, conf->n_bricks, conf->n_ports);
        if (r == -ESTALE) {
                log_warning("The running brickd is of another version than this brickd-worker: no "
                            "metric counts its calls until brickd is restarted");
                r = 0;
        }
        return r;
}

/* The door runs on the polling thread of gRPC, which watches its epoll set. */
static int start_door(struct door *door, struct rpc *rpc)
{
        const struct guest guest = { door_epoll(door), door_run, door };
        int r;

        if (guest.epoll < 0)
                return 0;
        r = door_start(door);
        return r < 0 ? r : rpc_set_guest(rpc, &guest);
}

/*
 * Starts threads and serves until every call has ended. If something fails halfway, calls may run
 * that nothing can end in order any more, so the process exits at once.
 */
static int serve_until_done(struct otlp *otlp, const struct worker_parts *parts)
{
        /* Never freed: gRPC may close descriptors, which are counted there, after it is down. */
        static struct balance *balance;
        int r;

        r = otlp_start(otlp);
        if (r < 0)
                return fail(r, "Cannot start the thread that exports traces");
        r = balance_open(&balance, CHANNEL_FD_BALANCE, (unsigned)arg_worker);
        if (r < 0)
                return fail(r, "Cannot map the shared connection counts");
        r = client_start(parts->rpc, parts->conf);
        if (r < 0)
                _exit(fail(r, "Cannot connect to backends"));
        process_bricks_update();
        r = start_door(parts->door, parts->rpc);
        if (r < 0)
                _exit(fail(r, "Cannot serve the ports with protocol: http"));
        r = rpc_start(parts->rpc, balance);
        if (r < 0)
                _exit(fail(r, "Cannot start gRPC"));
        r = worker_serve(parts);
        if (r < 0)
                _exit(fail(r, "The event loop failed"));
        return EXIT_SUCCESS;
}

/* Waits until the processes of the bricks serve: this one accepts no connection before. The main
 * process sets the limit. */
static int await_programs(const struct programs *programs)
{
        struct pollfd fd = { .fd = CHANNEL_FD_CONTROL, .events = POLLIN };
        struct channel_message message;
        int r = -EAGAIN;

        while (r == -EAGAIN && !programs_started(programs)) {
                if (poll(&fd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
                do
                        r = channel_receive(CHANNEL_FD_CONTROL, &message);
                while (r > 0);
        }
        return r == -EAGAIN ? 0 : -ECANCELED;
}

static int serve(struct conf *conf, struct diag *diag)
{
        static struct programs *programs; /* never freed: bricks read it until the end */
        static struct stats *stats;       /* never freed, like balance */
        _cleanup_(
                otlp_freep) struct otlp *otlp = NULL; /* first, so freed last: the others' spans */
        _cleanup_(build_freep) struct build *build = NULL;
        _cleanup_(identity_text_freep) struct identity_text *identities = NULL;
        _cleanup_(quota_freep) struct quota *quota = NULL;
        _cleanup_(auth_freep) struct auth *auth = NULL;
        struct explain_key key;
        _cleanup_(door_freep) struct door *door = NULL;
        _cleanup_(rpc_freep) struct rpc *rpc = NULL; /* freed first: its thread runs the door */
        int r;

        r = attach_stats(&stats, conf);
        if (r < 0)
                return fail(r, "Cannot map the shared counters");
        r = otlp_new(&otlp, conf, diag);
        if (r < 0 && r != -EINVAL)
                return fail(r, "Cannot set up the export of traces");
        r = programs_open(&programs, CHANNEL_FD_PROGRAMS);
        if (r < 0)
                return fail(r, "Cannot map the states of the processes");
        process_bricks_attach(conf, programs);
        /* Also fails if diag has mistakes from before. */
        r = build_new(&build, conf, stats, set_creating, diag);
        if (r == -EINVAL) {
                rpc_check_ports(conf, diag);
                return fail_config(diag);
        }
        if (r < 0)
                return fail(r, "Cannot create the bricks");
        if (conf->identities && !arg_check) {
                r = open_identities(conf, stats, &quota, &identities, &auth);
                if (r < 0)
                        return fail(r, "Cannot read the identities");
        }
        r = rpc_new(&rpc, conf, stats, auth, otlp_tracer(otlp), arg_worker == 0);
        if (r < 0)
                return fail(r, "Cannot start gRPC");
        key = state_get_explain_key(state);
        rpc_set_explain_key(rpc, &key);
        r = door_new(&door, conf, stats, auth, otlp_tracer(otlp), arg_worker == 0);
        if (r < 0)
                return fail(r, "Cannot set up the ports with protocol: http");
        door_set_explain_key(door, &key);
        r = add_ports(rpc, door, conf, build, diag);
        if (diag_count(diag) > 0)
                return fail_config(diag);
        if (r < 0)
                return fail(r, "Cannot serve the ports");

        r = await_programs(programs);
        if (r < 0)
                return fail(r, "Cannot wait for the processes of the bricks");
        /* From here on the channel tells when the main process exits. */
        (void)prctl(PR_SET_PDEATHSIG, 0);
        if (arg_check)
                state_set_ready(state);
        else
                r = serve_until_done(otlp, &(struct worker_parts){
                                                   .conf = conf,
                                                   .build = build,
                                                   .rpc = rpc,
                                                   .door = door,
                                                   .stats = stats,
                                                   .state = state,
                                                   .auth = auth,
                                                   .identities = identities,
                                           });
        if (r != 0)
                return r;
        client_stop();
        rpc = rpc_free(rpc);
        door = door_free(door);
        build_destroy_bricks(build, set_destroying);
        otlp = otlp_free(otlp);
        return EXIT_SUCCESS;
}

/* The descriptors from the main process have consecutive numbers. Programs that a brick runs must
 * not inherit them: they are the identities and the sockets. */
static void close_on_exec(void)
{
        int flags;

        for (int fd = CHANNEL_FD_CONTROL; (flags = fcntl(fd, F_GETFD)) >= 0; fd++)
                (void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* Call it before the first thread starts. */
static void prepare_process(void)
{
        struct rlimit files;
        sigset_t all;

        close_on_exec();
        /* If a create() hangs and the main process exits, nobody else could end this process. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);

        /* Only the main process stops a worker, and not by signals. */
        (void)sigfillset(&all);
        (void)sigdelset(&all, SIGSEGV);
        (void)sigdelset(&all, SIGBUS);
        (void)sigdelset(&all, SIGFPE);
        (void)sigdelset(&all, SIGILL);
        (void)sigdelset(&all, SIGABRT);
        (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        rlimits_note();
        exit_watch();
}

static int run_worker(void)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL;
        _cleanup_free_ char *bytes = NULL;
        size_t length = 0;
        int r;

        prepare_process();
        if (arg_channel != CHANNEL_VERSION) {
                channel_say(CHANNEL_FAILED,
                            "brickd-worker is version " BRICKD_VERSION ", which does "
                            "not go with the brickd that runs: restart brickd");
                return EXIT_FAILURE;
        }
        r = state_open(&state, CHANNEL_FD_STATE);
        if (r < 0)
                return fail(r, "Cannot map the memory shared with brickd");
        r = read_config(&bytes, &length);
        if (r < 0)
                return fail(r, "Cannot read the configuration from brickd");
        r = diag_new(&diag, arg_name, bytes, length);
        if (r < 0)
                return fail(r, "Cannot parse the configuration");
        r = conf_parse(&conf, arg_name, bytes, length, diag);
        if (r == -EINVAL) {
                conf = conf_salvage(arg_name, bytes, length);
                if (conf) {
                        build_look_for_mistakes(conf, diag);
                        rpc_check_ports(conf, diag);
                }
                return fail_config(diag);
        }
        if (r < 0)
                return fail(r, "Cannot parse the configuration");

        worker_catch_crashes(state, conf);
        r = log_open(conf->log_target, conf->log_level);
        if (r < 0)
                return fail(r, "Cannot start the thread that writes the log");
        r = serve(conf, diag);
        log_close();
        exit_after(SHUTDOWN_SEC, r);
        rpc_shutdown();
        exit_after(0, r);
        return r;
}

static int parse_argv(int argc, char **argv)
{
        enum {
                ARG_CHANNEL = 256,
                ARG_NAME,
                ARG_GENERATION,
                ARG_WORKER,
                ARG_CHECK,
                ARG_INSPECT,
                ARG_DESCRIBE,
                ARG_VERSION
        };
        static const struct option options[] = {
                { "channel", required_argument, NULL, ARG_CHANNEL },
                { "name", required_argument, NULL, ARG_NAME },
                { "generation", required_argument, NULL,
                  ARG_GENERATION }, /* not used: it shows in ps(1) */
                { "worker", required_argument, NULL, ARG_WORKER },
                { "check", no_argument, NULL, ARG_CHECK },
                { "inspect", required_argument, NULL, ARG_INSPECT },
                { "describe", required_argument, NULL, ARG_DESCRIBE },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case ARG_CHANNEL:
                        arg_channel = (int)strtol(optarg, NULL, 10);
                        break;
                case ARG_NAME:
                        arg_name = optarg;
                        break;
                case ARG_GENERATION:
                        break;
                case ARG_WORKER:
                        arg_worker = strtoul(optarg, NULL, 10);
                        break;
                case ARG_CHECK:
                        arg_check = true;
                        break;
                case ARG_INSPECT:
                        arg_inspect = optarg;
                        break;
                case ARG_DESCRIBE:
                        arg_describe = optarg;
                        break;
                case ARG_VERSION:
                        arg_version = true;
                        break;
                default:
                        return -EINVAL;
                }
        return 0;
}

/*
 * By default glibc gives memory back to the kernel as soon as 128 KiB are free, and asks for it
 * again at the next message. In a call with 64 KiB each way that took more than a third of the
 * time.
 */
static void keep_memory(void)
{
        (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
        (void)mallopt(M_MMAP_THRESHOLD,
                      1 << 20); /* setting only the first would fix it at 128 KiB */
}

int main(int argc, char **argv)
{
        standard_open();
        keep_memory();
        module_set_builtins(worker_modules);
        if (parse_argv(argc, argv) < 0)
                return EX_USAGE;
        if (arg_inspect)
                return inspect_module(arg_inspect);
        if (arg_describe)
                return describe_module(arg_describe);
        if (arg_version)
                return worker_version();
        return exit_expect(run_worker());
}
