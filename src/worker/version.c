/* SPDX-License-Identifier: MIT */
#include "worker/version.h"

#include <grpc/grpc.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <sysexits.h>

#include "brick.h"
#include "config.h"
#include "util/terminal.h"
#include "util/version.h"

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

int worker_version(void)
{
        version_put("worker", BRICKD_VERSION);
        version_put_library("gRPC core", grpc_version_string(), BUILT_WITH_GRPC);
        version_put_library("OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING), BUILT_WITH_OPENSSL);
        version_put_library("protobuf-c", protobuf_c_version(), BUILT_WITH_PROTOBUF_C);
        version_put("brick ABI", TEXT(BRICK_ABI_MAJOR) "." TEXT(BRICK_ABI_MINOR));
        version_put("bricks", BUILT_BRICKS);
        version_put("left out", LEFT_OUT_BRICKS);
        version_put("modules", BRICKD_MODULE_DIR);
        version_put("sanitizers", BUILT_WITH_SANITIZERS);
        return terminal_flush() ? EXIT_SUCCESS : EX_IOERR;
}
