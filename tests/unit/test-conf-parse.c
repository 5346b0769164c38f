/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf-expect.h"
#include "conf/node.h"

#define SECOND INT64_C(1000000000)

static void test_mistakes(void)
{
        static const struct {
                const char *text;
                const char *expected;
        } cases[] = {
                /* the file as a whole */
                { "", "1:1: ports: required\n" },
                { "# nothing\n", "1:1: ports: required\n" },
                { "---\n...\n", "2:1: ports: required\n" },
                { "null", "1:1: ports: required\n" },
                { "hello", "1:1: expected a map, got \"hello\"\n" },
                { "[]", "1:1: expected a map, got a list\n" },
                { "\xef\xbb\xbf" PORT, "" },
                { "\xef\xbb\xbf" PORT "x: 1\n", "2:1: x: unknown key\n" },
                { "\xef\xbb\xbfx: 1\n" PORT, "1:1: x: unknown key\n" },
                { "ports:\r\n  - listen: \"127.0.0.1:0\"\r\nx: 1\r\n", "3:1: x: unknown key\n" },
                { "# a\r# b\r" PORT "x: 1\n", "4:1: x: unknown key\n" },
                { "# \xe2\x80\xa8# \xc2\x85" PORT "x: 1\n", "4:1: x: unknown key\n" },
                { PORT "---\n" PORT, "2:1: a second document starts here; only one is allowed\n" },
                { "%YAML 1.2\n---\n" PORT, "" },
                { "\xff\xfe"
                  "a",
                  " the file is UTF-16; save it as UTF-8\n" },
                { PORT "log: { level: \"caf\xc3\xa9\", \xc3\x28 }\n",
                  "2:23: not UTF-8: byte 0xc3\n" },
                { PORT "log: \"\x1b[31m\"\n", "2:7: character U+001B is not allowed here\n" },
                { PORT "x: \"\xef\xbf\xbf\"\n", "2:5: character U+FFFF is not allowed here\n" },

                /* syntax */
                { "ports:\n\t- listen: x\n", "2:1: indent with spaces, not with tabs\n" },
                { PORT "log: @x\n",
                  "2:6: a value must not start with this character; quote the value\n" },
                { PORT "log: { level: ${X} }\n",
                  "2:16: inside { } and [ ], quote a value that contains ${...}\n" },
                { PORT "log: level: info\n", "2:11: \": \" is not allowed here: quote the value, "
                                             "or correct the indentation\n" },
                { PORT "workers: \"1\n",
                  "3:1: the file ends inside a quoted text (while scanning a quoted scalar from "
                  "line 2)\n" },
                { PORT "? [a]\n: b\n", "2:3: a key must be a scalar, not a list or a map\n" },
                { PORT "&a b: 1\n", "2:1: a key must not have an anchor or a NUL character\n" },
                { PORT "\"a\\0b\": 1\n",
                  "2:1: a key must not have an anchor or a NUL character\n" },
                { PORT "modules: \"/a\\0b\"\n", "2:10: modules: contains a NUL character\n" },
                { PORT "workers: !!int 1\n",
                  "2:10: tags such as tag:yaml.org,2002:int are not supported\n" },
                { PORT "log: !x {}\n", "2:6: tags such as !x are not supported\n" },

                /* keys */
                { PORT "wrokers: 1\n", "2:1: wrokers: unknown key; did you mean \"workers\"?\n" },
                { PORT "log: { Level: info }\n",
                  "2:8: log.Level: unknown key; did you mean \"level\"?\n" },
                { PORT "workers: 1\nlog: {}\nworkers: 2\n",
                  "4:1: workers: duplicate key; the first is on line 2\n" },
                { PORT "bricks: [{ name: a, name: b, module: m, name: c }]\n",
                  "2:21: bricks[0].name: duplicate key; the first is on line 2\n"
                  "2:41: bricks[0].name: duplicate key; the first is on line 2\n" },
                { PORT "log: &a { level: info }\nx: { <<: *a }\n",
                  "3:1: x: unknown key\n"
                  "3:6: x.<<: merge keys are not supported; write the keys out, or use an alias "
                  "for the whole map\n" },

                /* anchors and aliases */
                { "ports: &p\n  - listen: \"127.0.0.1:0\"\nbricks: *x\n",
                  "3:9: there is no anchor &x before this alias\n" },
                { PORT "bricks: &b [*b]\n", "2:13: *b is inside the value of its own anchor\n" },
                { PORT "*a : b\n", "2:1: a key cannot be an alias\n" },
                { PORT "bricks:\n"
                       "  - { name: a, module: m, limits: &l { queue: x } }\n"
                       "  - { name: b, module: m, limits: *l }\n",
                  "3:47: bricks[0].limits.queue: expected a whole number, got \"x\"\n"
                  "3:47: bricks[1].limits.queue: expected a whole number, got \"x\"\n" },

                /* types */
                { "ports: 5\n", "1:8: ports: expected a list, got \"5\"\n" },
                { "ports: { listen: \"localhost:0\" }\n",
                  "1:8: ports: expected a list, got a map\n" },
                { "ports: []\n", "1:8: ports: needs at least 1 entry\n" },
                { "ports:\n", "1:1: ports: required\n" },
                { "ports: [5]\n", "1:9: ports[0]: expected a map, got \"5\"\n" },
                { "ports: [{}]\n", "1:9: ports[0].listen: required\n" },
                /* one mistake is one line */
                { "ports: [{ listne: \"127.0.0.1:0\" }]\n",
                  "1:11: ports[0].listne: unknown key; did you mean \"listen\"?\n" },
                { "ports: [{ lisp: 1 }]\n",
                  "1:9: ports[0].listen: required\n1:11: ports[0].lisp: unknown key\n" },
                { "ports: [{ listen: \"127.0.0.1:0\", forwarded: [unix, 10.0.0.0/8, \"::1\"] }]\n",
                  "" },
                { "ports: [{ listen: \"127.0.0.1:0\", forwarded: [proxy, 10.0.0.1/8] }]\n",
                  "1:46: ports[0].forwarded[0]: expected an IP address, a network such as "
                  "10.0.0.0/8, or unix, got \"proxy\"\n"
                  "1:53: ports[0].forwarded[1]: \"10.0.0.1/8\": the address has bits behind its "
                  "prefix\n" },
                { "ports: [{ listen: \"127.0.0.1:0\", proxy_protocol: [10.0.0/8, \"::/129\"] }]\n",
                  "1:51: ports[0].proxy_protocol[0]: \"10.0.0/8\": expected an IP address, or a "
                  "network such as 10.0.0.0/8\n"
                  "1:61: ports[0].proxy_protocol[1]: \"::/129\": expected 0 to 128 behind the "
                  "slash\n" },
                { "ports: [{ listen: }]\n", "1:19: ports[0].listen: the value is missing\n" },
                { "ports: [{ listen: [a] }]\n",
                  "1:19: ports[0].listen: expected a string, got a list\n" },
                { PORT "workers: many\n",
                  "2:10: workers: expected a whole number or auto, got \"many\"\n" },
                { PORT "workers: 0\n", "2:10: workers: must be from 1 to 256\n" },
                { PORT "workers: 99999999999999999999\n", "2:10: workers: too large\n" },
                { PORT "workers: [1]\n",
                  "2:10: workers: expected a whole number or auto, got a list\n" },
                { PORT "start_timeout: 30\n",
                  "2:16: start_timeout: expected a duration with its unit, such as 250ms, 3s, 5m "
                  "or 1h, got \"30\"\n" },
                { PORT "start_timeout: 0\n", "2:16: start_timeout: must be from 1s to 1h\n" },
                { PORT "log: { level: loud }\n",
                  "2:15: log.level: expected error, warning, notice, info or debug, got "
                  "\"loud\"\n" },
                { PORT "log: { level: {} }\n",
                  "2:15: log.level: expected error, warning, notice, info or debug, got a "
                  "map\n" },
                { PORT "log: []\n", "2:6: log: expected a map, got a list\n" },
                { PORT "modules: lib\n",
                  "2:10: modules: expected an absolute path, got \"lib\"\n" },
                { PORT "control: run/x\n",
                  "2:10: control: expected an absolute path of at most 107 bytes, got "
                  "\"run/x\"\n" },
                { PORT "bricks: [{ name: A, module: ../m.so, default: yes }]\n",
                  "2:18: bricks[0].name: expected a name of up to 64 characters from a-z 0-9 . _ - "
                  "that begins with a letter or a digit, got \"A\"\n"
                  "2:29: bricks[0].module: expected the name of a module or an absolute path, got "
                  "\"../m.so\"\n"
                  "2:47: bricks[0].default: expected true or false, got \"yes\"\n" },
                { "ports: [{ listen: \"localhost:0\", limits: { request: 4M, reply: 2GiB } }]\n",
                  "1:53: ports[0].limits.request: expected a size, such as 64KiB, 4MiB or 4MB, got "
                  "\"4M\"\n"
                  "1:64: ports[0].limits.reply: must be from 1KiB to 1GiB\n" },

                /* names */
                { PORT "bricks:\n  - { name: a, module: m }\n  - { name: a, module: m }\n",
                  "4:13: bricks[1].name: the brick on line 3 already has this name\n" },
                { "ports: [{ listen: \"localhost:0\", bricks: [shild, shield, shield, x] }]\n"
                  "bricks: [{ name: shield, module: m }]\n",
                  "1:43: ports[0].bricks[0]: no brick has the name \"shild\"; did you mean "
                  "\"shield\"?\n"
                  "1:58: ports[0].bricks[2]: \"shield\" is listed twice\n"
                  "1:66: ports[0].bricks[3]: no brick has the name \"x\"\n" },

                /* variables */
                { PORT "modules: /x/${T_UNSET}\n",
                  "2:10: modules: the environment variable T_UNSET is not set; for a default write "
                  "${T_UNSET:-default}\n" },
                { PORT "modules: /x/${T_BINARY}\n",
                  "2:10: modules: the environment variable T_BINARY is not UTF-8\n" },
                { PORT "modules: /x/${\n", "2:10: modules: expected ${NAME} or ${NAME:-default}; "
                                           "write $${ for a literal ${\n" },
                { PORT "modules: /x/${1}\n", "2:10: modules: expected ${NAME} or ${NAME:-default}; "
                                             "write $${ for a literal ${\n" },
                { PORT "modules: /x/${A?b}\n", "2:10: modules: expected ${NAME} or "
                                               "${NAME:-default}; write $${ for a literal ${\n" },
                { PORT "workers: ${T_EVIL}\n",
                  "2:10: workers: expected a whole number or auto, got \"1?log: { level: debug "
                  "}\"\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                expect(cases[i].text, strlen(cases[i].text), cases[i].expected);
        expect("ports:\0", 7, "1:7: character U+0000 is not allowed here\n");
}

static void test_listen(void)
{
        static const struct {
                const char *listen;
                const char *host; /* NULL: no host:port */
                const char *path;
                const char *mistake;
        } cases[] = {
                { "127.0.0.1:50051", "127.0.0.1", NULL, NULL },
                { "127.1.2.3:50051", "127.1.2.3", NULL, NULL },
                { "localhost:50051", "localhost", NULL, NULL },
                { "[::1]:50051", "::1", NULL, NULL },
                { "[0:0:0::1]:50051", "::1", NULL, NULL },
                { "[::ffff:127.0.0.1]:50051", "::ffff:127.0.0.1", NULL, NULL },
                { "unix:/run/brickd/grpc", NULL, "/run/brickd/grpc", NULL },
                { "unix:@bricks", NULL, "@bricks", NULL },
                { "systemd:grpc", NULL, "grpc", NULL },

                { "50051", NULL, NULL,
                  "expected host:port, unix:/path or systemd:NAME, such as \"127.0.0.1:50051\"" },
                { "[::1]", NULL, NULL,
                  "expected host:port, unix:/path or systemd:NAME, such as \"127.0.0.1:50051\"" },
                { "", NULL, NULL,
                  "expected host:port, unix:/path or systemd:NAME, such as \"127.0.0.1:50051\"" },
                { ":50051", NULL, NULL,
                  "the host is missing; for every address of this machine write \"[::]:50051\"" },
                { "*:50051", NULL, NULL,
                  "the host is missing; for every address of this machine write \"[::]:50051\"" },
                { "[]:50051", NULL, NULL,
                  "the host is missing; for every address of this machine write \"[::]:50051\"" },
                { "::1:50051", NULL, NULL,
                  "write an IPv6 address in brackets, such as \"[::1]:50051\"" },
                { "[127.0.0.1]:1", NULL, NULL,
                  "the host must be \"localhost\" or an address of this machine" },
                { "[localhost]:1", NULL, NULL,
                  "the host must be \"localhost\" or an address of this machine" },
                { "example.org:1", NULL, NULL,
                  "the host must be \"localhost\" or an address of this machine" },
                { "127.0.0.1:", NULL, NULL, "the port must be a number from 0 to 65535" },
                { "127.0.0.1:http", NULL, NULL, "the port must be a number from 0 to 65535" },
                { "127.0.0.1:65536", NULL, NULL, "the port must be a number from 0 to 65535" },
                { "127.0.0.1:-1", NULL, NULL, "the port must be a number from 0 to 65535" },
                { "127.0.0.1:+1", NULL, NULL, "the port must be a number from 0 to 65535" },
                { "unix:run/x", NULL, NULL,
                  "expected unix:/path with an absolute path, or unix:@name" },
                { "unix:/", NULL, NULL,
                  "expected unix:/path with an absolute path, or unix:@name" },
                { "unix:@", NULL, NULL,
                  "expected unix:/path with an absolute path, or unix:@name" },
                { "systemd:", NULL, NULL,
                  "expected systemd:NAME, where NAME is the FileDescriptorName= of the socket "
                  "unit" },
                { "systemd:a b", NULL, NULL,
                  "expected systemd:NAME, where NAME is the FileDescriptorName= of the socket "
                  "unit" },
                { "0.0.0.0:50051", NULL, NULL,
                  "other machines can reach 0.0.0.0:50051, which is neither encrypted nor "
                  "authenticated; set tls or identities, listen on 127.0.0.1, or set "
                  "allow_insecure: true" },
                { "[::]:50051", NULL, NULL,
                  "other machines can reach [::]:50051, which is neither encrypted nor "
                  "authenticated; set tls or identities, listen on 127.0.0.1, or set "
                  "allow_insecure: true" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[512], expected[512];

                snprintf(text, sizeof text, "ports: [{ listen: \"%s\" }]\n", cases[i].listen);
                if (cases[i].mistake) {
                        snprintf(expected, sizeof expected, "1:19: ports[0].listen: %s\n",
                                 cases[i].mistake);
                        expect(text, strlen(text), expected);
                } else {
                        _cleanup_(conf_freep) struct conf *conf = parse_good(text);
                        const struct conf_port *port = &conf->ports[0];

                        assert(strcmp(port->listen, cases[i].listen) == 0);
                        assert(!cases[i].host || port->kind == LISTEN_INET);
                        assert(!cases[i].host || strcmp(port->host, cases[i].host) == 0);
                        assert(!cases[i].host || port->port == 50051);
                        assert(!cases[i].path || strcmp(port->path, cases[i].path) == 0);
                }
        }
}

static void test_access(void)
{
        static const struct {
                const char *port;
                mode_t mode;
                uid_t owner;
                gid_t group;
                const char *mistake;
        } cases[] = {
                { "listen: unix:/a", 0600, (uid_t)-1, (gid_t)-1, NULL },
                { "listen: unix:/a, mode: 0666", 0666, (uid_t)-1, (gid_t)-1, NULL },
                { "listen: unix:/a, mode: \"640\"", 0640, (uid_t)-1, (gid_t)-1, NULL },
                { "listen: unix:/a, group: 12345", 0660, (uid_t)-1, 12345, NULL },
                { "listen: unix:/a, group: root, mode: 0620", 0620, (uid_t)-1, 0, NULL },
                { "listen: unix:/a, owner: root, group: 7", 0660, 0, 7, NULL },

                { "mode: 0888, listen: unix:/a", 0, 0, 0,
                  "17: ports[0].mode: expected an octal mode such as 0660, got \"0888\"" },
                { "mode: 1777, listen: unix:/a", 0, 0, 0,
                  "17: ports[0].mode: expected an octal mode such as 0660, got \"1777\"" },
                { "group: no-such-group, listen: unix:/a", 0, 0, 0,
                  "18: ports[0].group: there is no group \"no-such-group\"" },
                { "owner: -1, listen: unix:/a", 0, 0, 0,
                  "18: ports[0].owner: there is no user \"-1\"" },
                { "owner: 4294967295, listen: unix:/a", 0, 0, 0,
                  "18: ports[0].owner: there is no user \"4294967295\"" },
                { "mode: 0660, listen: \"127.0.0.1:1\"", 0, 0, 0,
                  "17: ports[0].mode: only a unix socket with a path has a mode, owner and group" },
                { "group: root, listen: unix:@a", 0, 0, 0,
                  "18: ports[0].group: only a unix socket with a path has a mode, owner and "
                  "group" },
                { "mode: 0660, listen: systemd:a", 0, 0, 0,
                  "17: ports[0].mode: systemd creates this socket; use SocketMode=, SocketUser= "
                  "and SocketGroup= of its unit" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[256], expected[512];

                (void)snprintf(text, sizeof text, "ports: [{ %s }]\n", cases[i].port);
                if (cases[i].mistake) {
                        (void)snprintf(expected, sizeof expected, "1:%s\n", cases[i].mistake);
                        expect(text, strlen(text), expected);
                } else {
                        _cleanup_(conf_freep) struct conf *conf = parse_good(text);
                        const struct conf_port *port = &conf->ports[0];

                        assert(port->mode == cases[i].mode);
                        assert(port->owner == cases[i].owner);
                        assert(port->group == cases[i].group);
                }
        }
}

static void test_clash(void)
{
        static const struct {
                const char *a, *b;
                bool clash;
        } cases[] = {
                { "127.0.0.1:5", "127.0.0.1:5", true },  { "[::1]:5", "[0::1]:5", true },
                { "unix:/a", "unix:/a", true },          { "systemd:a", "systemd:a", true },
                { "127.0.0.1:0", "127.0.0.1:0", false }, { "127.0.0.1:5", "127.0.0.1:6", false },
                { "127.0.0.1:5", "127.0.0.2:5", false }, { "unix:/a", "systemd:/a", false },
                { "unix:@a", "unix:@a", true },          { "unix:@a", "unix:/a", false },
                { "localhost:5", "127.0.0.1:5", true },  { "0.0.0.0:5", "127.0.0.2:5", true },
                { "127.0.0.1:5", "[::]:5", true },       { "[::]:5", "[::1]:5", true },
                { "0.0.0.0:5", "[::]:5", true },         { "0.0.0.0:5", "[::1]:5", false },
                { "[::]:5", "[::1]:6", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[256];

                snprintf(text, sizeof text,
                         "ports:\n  - { listen: \"%s\", allow_insecure: true }\n"
                         "  - { listen: \"%s\", allow_insecure: true }\n",
                         cases[i].a, cases[i].b);
                expect(text, strlen(text),
                       cases[i].clash
                               ? "3:15: ports[1].listen: the port on line 2 already listens there\n"
                               : "");
        }
        expect("ports: [{ listen: \"[::]:1\", allow_insecure: true }]\n", 52, "");
}

static void test_tls(void)
{
        static const char ca[] = "ports: [{ listen: \"[::]:1\", tls: { certificate: a.pem, "
                                 "key: { file: k }, client_ca: /b.pem }}]\n";
        static const struct {
                const char *tls;
                const char *mistakes;
        } cases[] = {
                { "{ certificate: a, key: { credential: k } }", "" },
                { "{}",
                  "1:34: ports[0].tls.certificate: required\n1:34: ports[0].tls.key: required\n" },
                { "a.pem", "1:34: ports[0].tls: expected a map, got \"a.pem\"\n" },
                { "null", "1:19: ports[0].listen: other machines can reach [::]:1, which is "
                          "neither encrypted nor authenticated; set tls or identities, listen on "
                          "127.0.0.1, or set allow_insecure: true\n" },
                { "{ certificate: a, key: { env: k }, client_certificate: optional }",
                  "1:69: ports[0].tls.client_certificate: needs client_ca, the authorities that "
                  "issue the certificates of clients\n" },
        };
        _cleanup_(conf_freep) struct conf *conf = parse_good(ca);
        const struct conf_tls *tls = &conf->ports[0].tls;
        _cleanup_free_ char *path = NULL, *key = option_secret_path(tls->key, conf->base);

        assert(tls->node && !tls->client_optional && strcmp(tls->client_ca, "/b.pem") == 0);
        assert(asprintf(&path, "%s/a.pem", conf->base) > 0);
        assert(strcmp(tls->certificate, path) == 0);
        assert(strncmp(key, conf->base, strlen(conf->base)) == 0);
        assert(strcmp(key + strlen(conf->base), "/k") == 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[512];

                snprintf(text, sizeof text, "ports: [{ listen: \"[::]:1\", tls: %s }]\n",
                         cases[i].tls);
                expect(text, strlen(text), cases[i].mistakes);
        }
}

static void test_values(void)
{
        _cleanup_(conf_freep) struct conf *conf = NULL;

        conf = parse_good("ports:\n"
                          "  - listen: unix:/run/x\n"
                          "    bricks: chat\n"
                          "    limits: { request: 1MiB, reply: 2MiB, metadata: 4096, streams: 7,\n"
                          "              window: 128KiB }\n"
                          "  - listen: \"127.0.0.1:1\"\n"
                          "bricks:\n"
                          "  - name: shield\n"
                          "    module: guard-rules\n"
                          "  - name: chat\n"
                          "    module: /lib/x.so\n"
                          "    options: { a: [1, 2] }\n"
                          "    default: true\n"
                          "    match: { x-brick: a, model_id: [b, 3] }\n"
                          "    limits: { concurrency: 1, queue: 0, threads: 2, timeout: 1.5s,\n"
                          "              memory: 1MiB }\n"
                          "    log_level: notice\n"
                          "workers: 3\n"
                          "modules: /opt\n"
                          "control: \"\"\n"
                          "start_timeout: 5s\n"
                          "drain: { grace: 1s, lame_duck: 2s, retire: 3s }\n"
                          "log: { level: debug, format: json, access: off, slow: 250ms }\n");
        assert(strcmp(conf->name, "t") == 0 && conf->base[0] == '/');
        assert(conf->n_ports == 2 && conf->n_bricks == 2);
        assert(conf->ports[0].n_bricks == 1 && conf->ports[0].bricks[0] == 1);
        assert(conf->ports[0].max_request == 1 << 20 && conf->ports[0].max_reply == 2 << 20);
        assert(conf->ports[0].max_metadata == 4096 && conf->ports[0].max_streams == 7);
        assert(conf->ports[0].window == 128 << 10);
        assert(conf->ports[0].stall == INT64_C(60000000000));
        assert(conf->ports[1].n_bricks == 2 && conf->ports[1].bricks[1] == 1);
        assert(conf->ports[1].node->line == 6);

        assert(strcmp(conf->bricks[0].module, "guard-rules") == 0);
        assert(!conf->bricks[0].options && !conf->bricks[0].match && !conf->bricks[0].is_default);
        assert(conf->bricks[0].n_match_brick == 0);
        assert(conf->bricks[1].is_default && conf->bricks[1].options && conf->bricks[1].match);
        assert(conf->bricks[1].n_match_brick == 1 && conf->bricks[1].n_match_model == 2);
        assert(strcmp(conf->bricks[1].match_brick[0], "a") == 0);
        assert(strcmp(conf->bricks[1].match_model[1], "3") == 0);
        assert(conf->bricks[1].limits.concurrency == 1 && conf->bricks[1].limits.queue == 0);
        assert(conf->bricks[1].limits.threads == 2);
        assert(conf->bricks[1].limits.timeout == SECOND * 3 / 2);
        assert(conf->bricks[1].limits.arena == 1 << 20);

        assert(conf->workers == 3 && strcmp(conf->module_dir, "/opt") == 0 && !conf->control);
        assert(conf->start_timeout == 5 * SECOND && conf->drain_grace == SECOND);
        assert(conf->drain_lame_duck == 2 * SECOND && conf->drain_retire == 3 * SECOND);
        assert(conf->log_level == LOG_LEVEL_DEBUG && conf->log_target == LOG_TARGET_JSON);
        assert(conf->log_access == ACCESS_OFF && conf->log_slow == SECOND / 4);
        assert(conf->bricks[0].log_level == 0 && conf->bricks[1].log_level == LOG_LEVEL_NOTICE);
        assert(conf_find_brick(conf, "chat") == 1 && conf_find_brick(conf, "none") == -1);
}

static void test_defaults(void)
{
        _cleanup_(conf_freep) struct conf *conf = NULL, *other = NULL, *wide = NULL;

        conf = parse_good(PORT "bricks:\nlog:\n");
        assert(conf->n_bricks == 0 && conf->ports[0].n_bricks == 0);
        assert(!conf->ports[0].allow_insecure);
        assert(conf->ports[0].max_request == 4 << 20 && conf->ports[0].max_reply == 64 << 20);
        assert(conf->workers == 1 && conf->drain_grace == 3 * SECOND && conf->drain_lame_duck == 0);
        assert(conf->log_level == LOG_LEVEL_INFO && conf->log_target == LOG_TARGET_AUTO);
        assert(conf->log_access == ACCESS_ALL && conf->log_slow == 0 && conf->control &&
               conf->control[0] == '/');
        assert(strcmp(conf->module_dir, "/from/environment") == 0);

        other = parse_good(PORT "modules: /own\ncontrol: null\nworkers: auto\n");
        assert(strcmp(other->module_dir, "/own") == 0 && !other->control);
        assert(other->workers >= 1 && other->workers <= 256);

        assert(unsetenv("BRICKD_MODULES") == 0);
        wide = parse_good(PORT "bricks: [{ name: a, module: b }]\n");
        assert(wide->module_dir[0] == '/' && strcmp(wide->module_dir, "/from/environment") != 0);
        assert(wide->bricks[0].limits.concurrency == 4096 && wide->bricks[0].limits.queue == 1024);
        assert(wide->bricks[0].limits.threads == 4 && wide->bricks[0].limits.timeout == 0);
}

static void test_read(void)
{
        char name[] = "/tmp/test-conf-XXXXXX";
        _cleanup_free_ char *bytes = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t length = 0;

        fd = mkstemp(name);
        assert(fd >= 0);
        assert(write(fd, "ports:\n", 7) == 7);
        assert(conf_read(name, &bytes, &length) == 0);
        assert(length == 7 && memcmp(bytes, "ports:\n", 7) == 0);
        assert(ftruncate(fd, 16 * 1024 * 1024 + 1) == 0);
        assert(conf_read(name, &bytes, &length) == -EFBIG);
        assert(unlink(name) == 0);
        assert(conf_read(name, &bytes, &length) == -ENOENT);
        assert(conf_read("/tmp", &bytes, &length) == -EISDIR);
        assert(length == 7);
}

/* Where there are identities, a port asks for them unless it says otherwise. */
static void test_authenticate(void)
{
        static const char good[] =
                "identities: ids.yaml\n"
                "ports:\n"
                "  - { listen: \"[::]:1\" }\n"
                "  - { listen: \"127.0.0.1:2\", authenticate: off }\n"
                "  - { listen: \"[::]:3\", authenticate: all }\n"
                "  - { listen: \"[::]:4\", authenticate: off, allow_insecure: true }\n";
        static const char bad[] = "ports:\n"
                                  "  - { listen: \"127.0.0.1:2\", authenticate: calls }\n"
                                  "  - { listen: \"127.0.0.1:3\", authenticate: off }\n";
        static const char open[] = "identities: ids.yaml\n"
                                   "ports: [ { listen: \"[::]:1\", authenticate: off } ]\n";
        _cleanup_(conf_freep) struct conf *conf = parse_good(good);
        _cleanup_(conf_freep) struct conf *none = parse_good("ports: [{ listen: \"[::1]:1\" }]\n");

        assert(conf->identities[0] == '/' && strstr(conf->identities, "/ids.yaml"));
        assert(conf->ports[0].authenticate == AUTHENTICATE_CALLS);
        assert(conf->ports[1].authenticate == AUTHENTICATE_OFF);
        assert(conf->ports[2].authenticate == AUTHENTICATE_ALL);
        assert(!none->identities && none->ports[0].authenticate == AUTHENTICATE_OFF);
        expect(bad, strlen(bad),
               "2:44: ports[0].authenticate: needs the top-level key identities, which names the "
               "file of identities\n");
        expect(open, strlen(open),
               "2:20: ports[0].listen: other machines can reach [::]:1, which is neither encrypted "
               "nor authenticated; set tls or identities, listen on 127.0.0.1, or set "
               "allow_insecure: true\n");
}

int main(void)
{
        assert(setenv("BRICKD_MODULES", "/from/environment", 1) == 0);
        assert(setenv("T_BINARY", "\xff", 1) == 0);
        assert(setenv("T_EVIL", "1\nlog: { level: debug }", 1) == 0);

        test_mistakes();
        test_listen();
        test_access();
        test_clash();
        test_tls();
        test_authenticate();
        test_values();
        test_read();
        test_defaults();
        assert(failures == 0);
        return 0;
}
