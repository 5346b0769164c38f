/* SPDX-License-Identifier: MIT */
#include "function-words.h"

#include <string.h>

/* Words as they are folded, each between spaces. Words that are often the subject ("who" and "at"
 * are commands, "not" and "and" operators) are left out. */
static const char *const lists[FUNCTION_LANGUAGES] = {
        /* English */
        " a an are be can could do does for from how i in is it its me my of on please should so "
        "that the their there these this to was we were what when where which why will with would "
        "you your ",
        /* German */
        " als auf aus bei bitte das dem den der des die ein eine einem einen einer es fur hat ich "
        "im ist kann mein mit nach sich sind von wann warum was welche welcher wer werden wie wird "
        "wo zu zum zur ",
        /* French */
        " au aux avec ce ces cette comment dans de des du elle en est et il ils je la le les "
        "leur ma mes mon nous ou par pour pourquoi quand que quel quelle quels qui sa se ses son "
        "sont sur un une vous ",
        /* Spanish */
        " al como con cual cuando de del donde el en es esta este la las lo los me mi para por que "
        "se su sus un una y ",
        /* Italian */
        " al alla che come con cosa da dal del della di dove e gli i il in la le lo nel nella per "
        "perche quale quando si su un una ",
        /* Portuguese */
        " a ao as com como da de do dos e em eu foi meu na no o onde os para pelo por qual quando "
        "que se sua um uma ",
        /* Dutch */
        " de die een en ik in is hoe het kan met mijn naar om op te van voor waar waarom wat zijn ",
        /* Russian */
        " в во где для и из как какои когда мне мои на о от по почему с у что это я ",
};

unsigned function_word(const char *word, size_t n)
{
        unsigned languages = 0;
        char key[24];

        if (n + 3 > sizeof key)
                return 0;
        key[0] = ' ';
        memcpy(key + 1, word, n);
        memcpy(key + 1 + n, " ", 2);
        for (unsigned i = 0; i < FUNCTION_LANGUAGES; i++)
                if (strstr(lists[i], key))
                        languages |= 1U << i;
        return languages;
}
