/* SPDX-License-Identifier: MIT */
#include "conf/value.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "util/cleanup.h"

struct unit {
        const char *name;
        int64_t factor;
};

static const struct unit duration_units[] = {
        { "d", INT64_C(86400000000000) },
        { "h", INT64_C(3600000000000) },
        { "m", INT64_C(60000000000) },
        { "s", INT64_C(1000000000) },
        { "ms", INT64_C(1000000) },
        { "us", INT64_C(1000) },
        { "ns", INT64_C(1) },
        {},
};

static const struct unit size_units[] = {
        { "TiB", INT64_C(1) << 40 },
        { "GiB", INT64_C(1) << 30 },
        { "MiB", INT64_C(1) << 20 },
        { "KiB", INT64_C(1) << 10 },
        { "TB", INT64_C(1000000000000) },
        { "GB", INT64_C(1000000000) },
        { "MB", INT64_C(1000000) },
        { "kB", INT64_C(1000) },
        { "KB", INT64_C(1000) },
        { "B", INT64_C(1) },
        { "", INT64_C(1) },
        {},
};

static const struct unit count_units[] = {
        { "G", INT64_C(1000000000) }, { "M", INT64_C(1000000) }, { "k", INT64_C(1000) },
        { "K", INT64_C(1000) },       { "", INT64_C(1) },        {},
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

int value_parse_int(const char *s, int64_t *ret)
{
        char *end;
        intmax_t value;

        if (!is_digit(s[s[0] == '-' || s[0] == '+']))
                return -EINVAL;
        errno = 0;
        value = strtoimax(s, &end, 10);
        if (*end)
                return -EINVAL;
        if (errno == ERANGE)
                return -ERANGE;
        *ret = value;
        return 0;
}

int value_parse_bool(const char *s, bool *ret)
{
        static const char *const words[2][3] = { { "false", "False", "FALSE" },
                                                 { "true", "True", "TRUE" } };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (size_t j = 0; j < ELEMENTSOF(words[i]); j++)
                        if (strcmp(s, words[i][j]) == 0) {
                                *ret = i == 1;
                                return 0;
                        }
        return -EINVAL;
}

int value_parse_float(const char *s, double *ret)
{
        double value;
        char *end;

        /* Refuse what only strtod() accepts: hexadecimal, "nan" and "inf". */
        if (s[0] == '\0' || s[strspn(s, "0123456789+-.eE")] != '\0')
                return -EINVAL;
        value = strtod(s, &end);
        if (*end)
                return -EINVAL;
        if (!isfinite(value))
                return -ERANGE;
        *ret = value;
        return 0;
}

/* Parses "12" or "1.5KiB" in integer arithmetic, which is exact. */
static int parse_quantity(const char *s, const struct unit *units, int64_t *ret)
{
        int64_t whole = 0, part = 0, scale = 1, value;
        bool overflow = false;

        if (!is_digit(*s))
                return -EINVAL;
        for (; is_digit(*s); s++)
                overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
                            __builtin_add_overflow(whole, *s - '0', &whole);
        if (*s == '.') {
                if (!is_digit(*++s))
                        return -EINVAL;
                for (; is_digit(*s); s++)
                        if (scale < INT64_C(1000000)) {
                                scale *= 10;
                                part = part * 10 + (*s - '0');
                        }
        }

        while (units->name && strcmp(s, units->name) != 0)
                units++;
        if (!units->name)
                return -EINVAL;
        overflow |= __builtin_mul_overflow(whole, units->factor, &value);
        overflow |= __builtin_add_overflow(value, (int64_t)((__int128)part * units->factor / scale),
                                           &value);
        if (overflow)
                return -ERANGE;
        *ret = value;
        return 0;
}

int value_parse_duration(const char *s, int64_t *ret)
{
        if (strcmp(s, "0") == 0)
                s = "0s";
        return parse_quantity(s, duration_units, ret);
}

int value_parse_size(const char *s, int64_t *ret)
{
        return parse_quantity(s, size_units, ret);
}

int value_parse_count(const char *s, int64_t *ret)
{
        return parse_quantity(s, count_units, ret);
}

static int find_choice(const char *s, const char *choices,
                       int (*compare)(const char *a, const char *b, size_t n))
{
        size_t length = strlen(s), n;

        for (int i = 0;; i++) {
                n = strcspn(choices, "|");
                if (n == length && compare(choices, s, n) == 0)
                        return i;
                if (choices[n] == '\0')
                        return -EINVAL;
                choices += n + 1;
        }
}

int value_parse_choice(const char *s, const char *choices)
{
        int r = find_choice(s, choices, strncmp);

        return r >= 0 ? r : find_choice(s, choices, strncasecmp);
}

const char *value_choice(const char *choices, int index, size_t *ret_length)
{
        for (; index > 0; index--)
                choices = strchr(choices, '|') + 1;
        *ret_length = strcspn(choices, "|");
        return choices;
}

void value_format(enum option_type type, int64_t value, char *buffer, size_t size)
{
        const struct unit *unit = type == OPTION_DURATION ? duration_units
                                  : type == OPTION_SIZE   ? size_units
                                                          : NULL;

        if (!unit || (value == 0 && type == OPTION_SIZE)) {
                snprintf(buffer, size, "%" PRId64, value);
                return;
        }
        if (value == 0) {
                snprintf(buffer, size, "0s");
                return;
        }
        while (value % unit->factor != 0)
                unit++;
        snprintf(buffer, size, "%" PRId64 "%s", value / unit->factor, unit->name);
}
