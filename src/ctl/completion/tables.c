/* SPDX-License-Identifier: MIT */

/*
 * Prints brickctl's tables of commands and options as bash functions, and then copies standard
 * input, the code that calls them. Runs while brickctl is built.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/options.h"
#include "ctl/service.h"
#include "util/log.h"

/* The option's value, by the word that the help has for it. Nothing: the option takes no value. */
static void print_values(void)
{
        const struct option_row *row;

        puts("_brickctl_value_of() {\n\tcase $1 in");
        for (size_t i = 0; (row = options_row(i)); i++) {
                if (!row->argument)
                        continue;
                putchar('\t');
                if (row->letter)
                        printf("-%c | ", row->letter);
                printf("--%s) echo '%s' ;;\n", row->name, row->argument);
        }
        puts("\tesac\n}\n");
}

static void print_options_of(const char *command, unsigned bits)
{
        const char *separator = "";
        const struct option_row *row;

        printf("\t'%s') echo '", command);
        for (size_t i = 0; (row = options_row(i)); i++) {
                if (!(bits & row->bit))
                        continue;
                printf("%s--%s", separator, row->name);
                separator = " ";
        }
        puts("' ;;");
}

static void print_options(void)
{
        puts("_brickctl_options_of() {\n\tcase $1 in");
        print_options_of("", OPTION_BITS_GLOBAL);
        for (const struct command *c = commands; c->name; c++)
                print_options_of(c->name, c->options);
        puts("\tesac\n}\n");
}

/* From "BRICK|SERVICE [METHOD]": argument 0 is a BRICK|SERVICE, argument 1 a METHOD. */
static void print_arguments_of(const struct command *command)
{
        const char *s = command->arguments;

        for (unsigned i = 0; *(s += strspn(s, " []")); i++) {
                size_t n = strcspn(s, " ]");
                bool repeated = n > 3 && strncmp(s + n - 3, "...", 3) == 0;

                if (repeated)
                        printf("\t'%s':*) echo '%.*s' ;;\n", command->name, (int)n - 3, s);
                else
                        printf("\t'%s':%u) echo '%.*s' ;;\n", command->name, i, (int)n, s);
                s += n;
        }
}

static void print_arguments(void)
{
        puts("_brickctl_argument_of() {\n\tcase $1:$2 in\n\t:0) echo COMMAND ;;");
        for (const struct command *c = commands; c->name; c++)
                print_arguments_of(c);
        puts("\tesac\n}\n");
}

static void print_words(void)
{
        fputs("_brickctl_words_of() {\n\tcase $1 in\n\tCOMMAND) echo '", stdout);
        for (const struct command *c = commands; c->name; c++)
                printf("%s ", c->name);
        fputs("' ;;\n\tSERVICE) echo '", stdout);
        for (const struct service *s = services; s->name; s++)
                printf("%s ", s->name);
        fputs("' ;;\n\tMETHOD) echo '", stdout);
        for (const struct method *m = methods; m->name; m++)
                printf("%s ", m->name);
        fputs("' ;;\n\tLEVEL) echo '", stdout);
        for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
                printf("%s ", log_level_to_string(level));
        puts("' ;;\n\tesac\n}\n");
}

int main(void)
{
        int c;

        puts("# SPDX-License-Identifier: MIT\n"
             "# bash completion for brickctl(1), made from its tables of commands and options\n");
        print_values();
        print_options();
        print_arguments();
        print_words();
        while ((c = getchar()) != EOF)
                putchar(c);
        return ferror(stdin) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
